import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces import Choice, Domain, Float, Int, SpaceError

finite = st.floats(-1e9, 1e9, allow_nan=False)
scalars = st.none() | st.booleans() | st.integers(-99, 99) | finite | st.text(max_size=8)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    low, step, count = draw(st.integers(-1000, 1000)), draw(st.integers(1, 50)), draw(st.integers(0, 40))
    if low > 0 and draw(st.booleans()):
        return Int(low, low + count, log=True)
    return Int(low, low + step * count, step=step)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    if draw(st.booleans()):
        step, low, count = draw(st.integers(1, 500)), draw(st.integers(-5000, 5000)), draw(st.integers(0, 40))
        return Float(low / 1000, (low + step * count) / 1000, step=step / 1000)
    low, high = sorted((draw(finite), draw(finite)))
    return Float(low, high, log=low > 0 and draw(st.booleans()))


choices = st.lists(scalars, min_size=1, max_size=6, unique_by=lambda v: v).map(lambda options: Choice(tuple(options)))
domains = ints() | floats() | choices


@settings(deadline=None)  # Optuna's first study takes a while
@given(domain=domains, seed=st.integers(0, 2**31))
def test_a_suggestion_and_every_corner_lie_in_the_domain(domain: Domain, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    assert domain.suggest(study.ask(), "x") in domain
    assert all(corner in domain for corner in domain.corners())


@given(domain=ints() | choices | floats().filter(lambda domain: domain.step is not None))
def test_values_are_distinct_members_between_the_corners(domain: Domain) -> None:
    values = domain.values()
    assert len(set(values)) == len(values)
    assert all(value in domain for value in values)
    assert set(domain.corners()) <= set(values)
    if not isinstance(domain, Choice):
        assert list(values) == sorted(values)


@given(domain=ints() | floats().filter(lambda domain: domain.step is not None), number=finite)
def test_no_value_is_closer_than_the_nearest(domain: Int | Float, number: float) -> None:
    nearest = domain.nearest(number)
    assert nearest in domain
    assert abs(nearest - number) <= min(abs(value - number) for value in domain.values()) * (1 + 1e-9) + 1e-9


@given(domain=ints() | floats())
def test_the_middle_lies_in_the_domain(domain: Int | Float) -> None:
    assert domain.middle() in domain
    assert domain.nearest(domain.middle()) == domain.middle()


def test_the_middle_depends_on_the_scale() -> None:
    assert Float(1e-5, 1e-3, log=True).middle() == pytest.approx(1e-4)
    assert Float(0, 0.3, step=0.1).middle() == 0.1
    assert Float(-1, 3).middle() == 1
    assert (Int(1, 100, log=True).middle(), Int(2, 4).middle(), Int(32, 96, step=16).middle()) == (10, 3, 64)


def test_steps_are_counted_in_decimals() -> None:
    assert Float(0, 0.3, step=0.1).values() == (0.0, 0.1, 0.2, 0.3)
    assert 0.1 + 0.2 in Float(0, 0.4, step=0.1)
    assert 0.15 not in Float(0, 0.3, step=0.1)


@pytest.mark.parametrize(
    ("domain", "outside"),
    [
        (Int(1, 9, step=2), [0, 2, 10, 3.0, True, "3", None]),
        (Float(0, 1), [-0.1, 1.1, True, "0.5", math.nan, math.inf, 10**400, None]),
        (Choice((1, "a", None)), [True, "1", "A", 0, False, ["a"]]),
        (Choice((True, "x")), [1, 1.0, "True"]),
    ],
)
def test_neighbours_in_value_and_in_type_lie_outside(domain: Domain, outside: list[object]) -> None:
    assert [value for value in outside if value in domain] == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Int(3, 2), ["low must not exceed high, got [3, 2]"]),
        (lambda: Int(1.5, True), ["low must be a whole number, got 1.5", "high must be a whole number, got true"]),
        (lambda: Int(0, 8, log=True), ["log needs low above 0, got 0"]),
        (lambda: Int(1, 9, step=2, log=True), ["step and log exclude each other"]),
        (lambda: Int(5, 1, step=0), ["low must not exceed high", "step must be at least 1, got 0"]),
        (lambda: Int(16, 100, step=16), ["end at 96, not at 100"]),
        (lambda: Int(0, 2**60), ["within ±2**53"]),
        (lambda: Float(math.nan, math.inf), ["low must be a finite number, got NaN", "high must be a finite number"]),
        (lambda: Float(0, 1, log=True), ["log needs low above 0, got 0"]),
        (lambda: Float(1, 2, step=0.5, log=True), ["step and log exclude each other"]),
        (lambda: Float(2, 1, step=-1), ["low must not exceed high", "step must be above 0, got -1"]),
        (lambda: Float(0, 1, step=0.3), ["end at 0.9, not at 1"]),
        (lambda: Float(0, 1, step=1e-300), ["too small"]),
        (lambda: Float(-1.7e308, 1.7e308), ["too far apart"]),
        (lambda: Choice(()), ["at least one option"]),
        (lambda: Choice((1, True, 1.0, "1")), ["true is the same option as 1", "1.0 is the same option as 1"]),
        (lambda: Choice(("a", "a", [1], math.nan)), ['"a" occurs twice', "got [1]", "got NaN"]),
    ],
)
def test_an_impossible_domain_reports_all_mistakes(make, words: list[str]) -> None:
    with pytest.raises(SpaceError) as caught:
        make()
    assert len(caught.value.problems) == len(words)
    for problem, word in zip(caught.value.problems, words, strict=True):
        assert word in problem


@pytest.mark.parametrize("domain", [Float(0, 1), Int(0, 10**6), Float(0, 1, step=1e-6), Choice(tuple(range(20_000)))])
def test_a_grid_needs_finitely_many_values(domain: Domain) -> None:
    with pytest.raises(SpaceError, match="finitely many|too many for a grid"):
        domain.values()


def test_one_value_is_a_grid() -> None:
    assert Float(0.5, 0.5).values() == (0.5,)
    assert Int(4, 4).corners() == (4,)
