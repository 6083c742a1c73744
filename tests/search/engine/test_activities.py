"""What running trials do, from Tune's trials and their reports."""

from dataclasses import dataclass

from ray.tune.experiment import Trial

from search.engine.activities import Activities
from search.show.activity import Activity
from trainable.workers.messages import TrialReport


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def source(step: int, done: float) -> TrialReport:
    return TrialReport("source", stage_step=step, stage_done=done)


def test_pace_and_time_left_are_those_of_the_stage() -> None:
    clock = Clock()
    activities = Activities(clock)
    for seconds, report in ((5, source(10, 0.1)), (15, source(30, 0.3))):
        clock.seconds = seconds
        activities.report(0, report)
    clock.seconds = 20
    assert activities.of([0])[0] == Activity("source", False, 0.3, 2.0, 30.0)
    activities.report(0, TrialReport("target", stage_step=1, stage_done=0.05))
    assert activities.of([0])[0] == Activity("target", done=0.05), "the pace of another stage says nothing"


def test_a_trial_waits_for_a_slot_or_for_the_source_of_another() -> None:
    activities = Activities(Clock())
    trials = [Trial("tiny", config={"key": key}, stub=True) for key in (0, 2, 4)]
    for number in (0, 2):
        trials[number].set_status(Trial.RUNNING)
    activities.see(trials)
    activities.report(0, source(10, 0.1))
    activities.report(1, source(0, 0.0))  # step 0: another trial trains the stage
    shown = activities.of([0, 1, 2, 3, 4])  # Tune has not been given 3
    assert [shown[key].text for key in range(5)] == [
        "source 10 %",
        "waits for source of 0",
        "waits for a free slot",
        "waits for source of 0",
        "begins",
    ]
    assert [shown[key].waits for key in range(5)] == [False, True, True, True, False]
    activities.end(0)
    shown = activities.of([1, 3])
    assert [shown[key].text for key in (1, 3)] == ["waits for its source", "waits for a free slot"]


def test_a_source_from_the_cache_is_not_waited_for() -> None:
    activities = Activities(Clock())
    activities.report(0, TrialReport("source", stage_done=1.0, source_ready=True))
    assert activities.of([0])[0] == Activity("source", done=1.0)
