from hypothesis import given
from hypothesis import strategies as st

from trainable.loop.evaluation_steps import LEAST_EVALUATIONS, evaluation_steps
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Source, Target

DATA = Dataset(csv="a.csv")
SHARES = st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=4).map(tuple)


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 10), SHARES)
def test_a_number_for_each_epoch(per_epoch: int, epochs: int, times: int, shares: tuple[float, ...]) -> None:
    total = per_epoch * epochs
    stage = Target(dataset=DATA, batch_size=1, epochs=epochs, evaluations_per_epoch=times, evaluate_at=shares)
    steps = evaluation_steps(stage, per_epoch, 1)
    assert steps == sorted(set(steps))
    assert steps[-1] == total
    assert steps[0] >= 1
    assert {per_epoch * (epoch + 1) for epoch in range(epochs)} <= set(steps)
    assert all(max(1, round(share * total)) in steps for share in shares)
    assert len(steps) <= epochs * times + len(shares)
    if not shares and times <= per_epoch:
        assert len(steps) == epochs * times


@given(st.integers(1, 200), st.integers(1, 2000), st.integers(1, 40), st.integers(1, 32))
def test_without_a_number_evaluations_take_no_longer_than_training_few_rows(
    rows: int, checked: int, epochs: int, batch_size: int
) -> None:
    stage = Target(dataset=DATA, batch_size=batch_size, epochs=epochs)
    steps, per_epoch = evaluation_steps(stage, rows, checked), -(-rows // batch_size)
    assert steps[-1] == epochs * per_epoch
    assert all(step % per_epoch == 0 for step in steps)  # each at the end of an epoch
    assert len(steps) >= min(epochs, LEAST_EVALUATIONS)
    if len(steps) > LEAST_EVALUATIONS:
        assert len(steps) * checked <= 3 * rows * epochs
    if len(steps) < epochs:
        assert (len(steps) + 1) * checked > 3 * rows * epochs  # one more would take longer
    gaps = {later - step for step, later in zip([0, *steps], steps, strict=False)}
    assert max(gaps) - min(gaps) <= per_epoch


@given(st.integers(1, 50), st.integers(1, 2000), st.integers(1, 20))
def test_a_source_stage_and_early_stopping_are_evaluated_after_each_epoch(rows: int, checked: int, epochs: int) -> None:
    each = [rows * (epoch + 1) for epoch in range(epochs)]
    for stage in (
        Source(dataset=DATA, batch_size=1, epochs=epochs),
        Target(dataset=DATA, batch_size=1, epochs=epochs, patience=2),
    ):
        assert evaluation_steps(stage, rows, checked) == each
