"""What running trials do, from Tune's trials and their reports."""

from dataclasses import dataclass, field

from ray.tune.experiment import Trial

from search.engine.activities import Activities
from search.show.activity import Activity
from trainable.workers.messages import TrialReport


@dataclass
class TuneTrial:
    """The parts of a trial of Tune that are read."""

    key: int
    status: str
    config: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.config = {"key": self.key}


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
    activities.see([TuneTrial(0, Trial.RUNNING), TuneTrial(2, Trial.PENDING)])  # type: ignore[list-item]
    activities.report(0, source(10, 0.1))
    activities.report(1, source(0, 0.0))  # step 0: another trial trains the stage
    shown = activities.of([0, 1, 2, 3])
    assert [shown[key].text for key in range(4)] == [
        "source 10 %",
        "waits for source of 0",
        "waits for a free slot",
        "begins",
    ]
    assert [shown[key].waits for key in range(4)] == [False, True, True, False]
    activities.end(0)
    assert activities.of([1])[1].text == "waits for its source"


def test_a_source_from_the_cache_is_not_waited_for() -> None:
    activities = Activities(Clock())
    activities.report(0, TrialReport("source", stage_done=1.0, source_ready=True))
    assert activities.of([0])[0] == Activity("source", done=1.0)
