import pytest
from ray.tune.experiment import Trial

from search.engine.watch.retries import RETRIES, Retries
from trainable.workers.messages import TrialReport


@pytest.fixture
def trial() -> Trial:
    return Trial("stub", stub=True, max_failures=RETRIES)


def report(retries: Retries, trial: Trial, stage: str, step: int, checkpoint: bool = False) -> None:
    result = TrialReport(stage, stage_step=step).to_result()
    trial.run_metadata.last_result = result
    retries.on_trial_result(0, [trial], trial, result)
    if checkpoint:
        retries.on_checkpoint(0, [trial], trial, object())


def dies(trial: Trial, times: int) -> bool:
    """Whether a trial outlives so many deaths of its process in a row."""
    trial.run_metadata.num_failures += times
    return bool(trial.should_recover())


def test_a_trial_that_comes_further_each_time_outlives_any_number_of_deaths(trial: Trial) -> None:
    retries = Retries()
    for step in range(1, 20):
        report(retries, trial, "target", step, checkpoint=True)
        assert dies(trial, RETRIES)


def test_a_source_stage_comes_further_with_each_step(trial: Trial) -> None:
    retries = Retries()
    for step in range(1, 20):
        report(retries, trial, "source", step)
        assert dies(trial, RETRIES)
    report(retries, trial, "target", 1, checkpoint=True)
    assert dies(trial, RETRIES)


@pytest.mark.parametrize(("stage", "checkpoint"), [("source", False), ("target", True), ("target", False)])
def test_a_trial_that_dies_at_the_same_place_each_time_is_lost(trial: Trial, stage: str, checkpoint: bool) -> None:
    retries = Retries()
    for _ in range(RETRIES):
        report(retries, trial, stage, 5, checkpoint)
        assert dies(trial, 1)
    report(retries, trial, stage, 5, checkpoint)
    assert not dies(trial, 1)


def test_reports_that_no_checkpoint_keeps_are_not_further(trial: Trial) -> None:
    retries = Retries()
    for step in range(1, RETRIES + 1):
        report(retries, trial, "target", step)
        assert dies(trial, 1)
    assert not dies(trial, 1)
