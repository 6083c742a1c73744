"""Cheaper versions of a point, on small spaces."""

from search.propose.cheaper import cheaper_points
from spaces import parse_space

EPOCHS = {"target.epochs": {"int": [1, 3]}}


def test_fewer_epochs_come_first_and_the_source_stage_is_left_out_last() -> None:
    space = parse_space({"source.enabled": {"choice": [True, False]}, **EPOCHS})
    cheaper = list(cheaper_points(space, {"source.enabled": True, "target.epochs": 3}))
    assert [(point["source.enabled"], point["target.epochs"]) for point in cheaper] == [
        *((True, 2), (True, 1)),
        *((False, 3), (False, 2), (False, 1)),
    ]


def test_names_that_need_the_source_go_with_it() -> None:
    when = {"when": {"source.enabled": True}}
    space = parse_space({"source.enabled": {"choice": [True, False]}, "source.epochs": {"choice": [1, 4], **when}})
    cheaper = list(cheaper_points(space, {"source.enabled": True, "source.epochs": 4}))
    assert cheaper == [{"source.enabled": True, "source.epochs": 1}, {"source.enabled": False}]


def test_a_space_without_epochs_has_no_cheaper_points() -> None:
    space = parse_space({"target.learning_rate": {"float": [1e-5, 1e-3], "log": True}})
    assert list(cheaper_points(space, {"target.learning_rate": 1e-4})) == []
