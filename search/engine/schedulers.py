"""Who stops poor trials: Ray's schedulers and one of our own, by name, and where they compare."""

from collections.abc import Callable, Mapping

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.cluster.ray_internals import replay_to_scheduler
from search.engine.promotion import Promotion
from trainable.settings.stage import COMPARED_AT
from trainable.tasks.metrics import Direction
from trainable.workers.messages import KEY, PROGRESS, VALUE, TrialReport

COMPARED_AT_PERCENT = tuple(round(100 * share) for share in COMPARED_AT)
"""Percents of its own horizon at which a trial is compared with others at the same share: equal phases of
their schedules, whatever their epochs. Warm-up lies before the first rung."""

SCHEDULERS: dict[str, Callable[[Direction], TrialScheduler]] = {
    "asha": lambda direction: AsyncHyperBandScheduler(
        PROGRESS, VALUE, str(direction), grace_period=COMPARED_AT_PERCENT[0], max_t=100, reduction_factor=2
    ),
    "promotion": lambda direction: Promotion(COMPARED_AT_PERCENT, direction),
    # Without an endless time slice the rule would pause trials while there are too few to compare.
    "median": lambda direction: MedianStoppingRule(
        PROGRESS,
        VALUE,
        str(direction),
        grace_period=COMPARED_AT_PERCENT[0],
        min_samples_required=3,
        min_time_slice=float("inf"),  # type: ignore[arg-type]  # no int is as long as the wait it compares with
    ),
    "none": lambda direction: FIFOScheduler(),
}


def build_scheduler(
    name: str, direction: Direction, ended: Mapping[int, Mapping[int, float]], begun: Mapping[int, Mapping[int, float]]
) -> TrialScheduler:
    """A scheduler of the table that compares trials' `value` at equal `progress`.

    Args:
        name: in the table.
        direction: `max` or `min`.
        ended: values by progress, in percent, of the trials of earlier sessions, by number; it begins with what it
            has learnt from them.
        begun: the same of trials that go on, for a scheduler that knows a trial again by its number.
    """
    scheduler = SCHEDULERS[name](direction)
    known = {**ended, **begun} if isinstance(scheduler, Promotion) else ended
    for number, values in known.items():
        reports = (TrialReport("target", progress=p, value=value) for p, value in sorted(values.items()))
        results = (report.to_result() for report in reports)
        replay_to_scheduler(scheduler, f"earlier-{number}", {KEY: number}, results)
    return scheduler
