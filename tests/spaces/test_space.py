import copy
import pickle

import optuna
import pytest

from spaces import Choice, Dimension, Float, Int, Scalar, Space, SpaceError

optuna.logging.set_verbosity(optuna.logging.ERROR)


def conditional() -> Space:
    return Space(
        {
            "target.momentum": Dimension(Float(0, 0.9), when={"target.optimizer": ("sgd",)}),
            "target.optimizer": Dimension(Choice(("adamw", "adam", "sgd"))),
            "source.dataset": Dimension(Choice(("films", "reviews")), when={"source.enabled": (True,)}),
            "source.enabled": Dimension(Choice((True, False))),
            "source.rows": Dimension(
                Int(100, 200), when={"source.dataset": ("films",), "target.optimizer": ("adam", "sgd")}
            ),
        }
    )


@pytest.mark.parametrize("sampler", [optuna.samplers.RandomSampler(seed=1), optuna.samplers.TPESampler(seed=1)])
def test_every_suggestion_is_a_point_of_the_space(sampler: optuna.samplers.BaseSampler) -> None:
    space, kinds = conditional(), set()
    study = optuna.create_study(sampler=sampler)
    for i in range(60):
        trial = study.ask()
        point = space.suggest(trial)
        assert space.check(point) == []
        assert point in space
        assert trial.params == point
        assert set(space.active(point)) == set(point)
        kinds.add(frozenset(point))
        study.tell(trial, float(i % 7))
    assert len(kinds) > 3  # conditions were met and not met


def test_a_point_queued_in_the_study_is_suggested_as_it_is() -> None:
    study = optuna.create_study()
    given = {"source.enabled": False, "target.optimizer": "sgd", "target.momentum": 0.5}
    study.enqueue_trial(given)
    assert conditional().suggest(study.ask()) == given


def test_check_names_every_mistake() -> None:
    problems = conditional().check(
        {"source.enabled": False, "source.dataset": "films", "target.optimizer": "adamW", "target.momentun": 1}
    )
    assert problems == [
        "no such name in the space: \"target.momentun\"; did you mean 'target.momentum'?",
        'target.optimizer: "adamW" is not one of "adamw", "adam", "sgd"',
        "source.dataset: is active only if source.enabled is true; leave it out here",
    ]
    assert conditional().check({"source.enabled": 1}) == [
        'target.optimizer: is missing; give one of "adamw", "adam", "sgd"',
        "source.enabled: 1 is not one of true, false",
    ]


def test_a_partial_point_may_leave_out_what_its_conditions_read() -> None:
    space = conditional()
    assert space.check({"source.rows": 150}, partial=True) == []
    assert space.check({}, partial=True) == []
    assert space.check({"source.rows": 150, "source.enabled": False}, partial=True) != []
    assert space.check({"source.rows": 150, "target.optimizer": "adamw"}, partial=True) != []
    assert len(space.check({"source.rows": 150})) == 2  # source.enabled and target.optimizer are missing


def test_every_corner_completes_to_a_point() -> None:
    space = conditional()
    corners = list(space.corners())
    assert ("target.momentum", 0.9) in corners
    assert ("source.rows", 100) in corners
    for name, value in corners:
        point = space.complete({name: value})
        assert point in space
        assert point[name] == value


def test_complete_refuses_values_that_no_point_has() -> None:
    space = Space(
        {
            "a": Dimension(Choice((1, 2))),
            "b": Dimension(Int(0, 1), when={"a": (1,)}),
            "c": Dimension(Int(0, 1), when={"a": (2,)}),
        }
    )
    with pytest.raises(SpaceError, match="a: no value makes b and the other given names active at the same time"):
        space.complete({"b": 0, "c": 0})
    with pytest.raises(SpaceError, match="7 is not one of"):
        space.complete({"b": 7})


def test_the_grid_has_every_point_once() -> None:
    space = Space(
        {
            "rows": Dimension(Int(1, 3), when={"enabled": (True,)}),
            "enabled": Dimension(Choice((True, False))),
            "rate": Dimension(Float(0.1, 0.2, step=0.1)),
        }
    )
    points = space.grid()
    assert len(points) == (3 + 1) * 2
    assert all(point in space for point in points)
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert points == space.grid()
    assert Space({}).grid() == [{}]


@pytest.mark.parametrize(("name", "value"), list(conditional().corners()))
def test_the_points_of_a_fixed_space_are_those_with_that_value(name: str, value: Scalar) -> None:
    steps = {"target.momentum": Choice((0, 0.9)), "source.rows": Choice((100, 200))}
    space = conditional()
    space = Space({n: Dimension(steps.get(n, d.domain), d.when) for n, d in space.dimensions.items()})
    fixed = space.fix(name, value)
    rest = [{n: v for n, v in point.items() if n != name} for point in space.grid() if point.get(name) == value]
    assert [point for point in rest if point not in fixed] == []
    # A point without them is one where the fixed name was inactive.
    assert [point for point in fixed.grid() if {**point, name: value} not in space and point not in space] == []


def test_a_grid_of_too_many_points_is_refused_before_it_is_made() -> None:
    space = Space({f"x{i}": Dimension(Int(1, 5000)) for i in range(9)})
    with pytest.raises(SpaceError, match="more than 10000 points"):
        space.grid()
    with pytest.raises(SpaceError) as caught:
        Space({"a": Dimension(Float(0, 1)), "b": Dimension(Int(0, 10**6)), "c": Dimension(Int(0, 1))}).grid()
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["a", "b"]


def test_names_and_conditions_are_checked_all_at_once() -> None:
    with pytest.raises(SpaceError) as caught:
        Space(
            {
                "a/b": Dimension(Int(0, 1)),
                "target.": Dimension(Int(0, 1)),
                "rate": Dimension(Float(0, 1)),
                "x": Dimension(Int(0, 1), when={"rate": (0.5,), "y": (7,), "z": ()}),
                "y": Dimension(Int(0, 1), when={"x": (1,)}),
                "z": Dimension(Int(0, 1), when={"raet": (1,)}),
            }
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 7
    for words in ('write "a.b"', "rate is a float", "y can never be 7", "at least one value", "did you mean 'rate'"):
        assert words in text
    assert "x: when: conditions form a circle: x -> y -> x" in text or "circle: y -> x -> y" in text


def test_true_and_one_are_different_conditions() -> None:
    with pytest.raises(SpaceError, match="source.enabled can never be 1"):
        Space({"source.enabled": Dimension(Choice((True, False))), "x": Dimension(Int(0, 1), {"source.enabled": (1,)})})


def test_a_space_and_its_error_travel_between_processes() -> None:
    space = conditional()
    list(space.corners())
    assert pickle.loads(pickle.dumps(space)) == space == copy.deepcopy(space)
    error = pickle.loads(pickle.dumps(SpaceError(["one", "two"])))
    assert error.problems == ("one", "two")
    assert str(error) == "one\ntwo"
