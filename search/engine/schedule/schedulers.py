"""The schedulers that stop poor trials, by name: Ray's and our `Promotion`. Also the points at which they compare."""

from collections.abc import Callable, Mapping

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.cluster.ray_internals import replay_to_scheduler
from search.engine.schedule.promotion import Promotion
from trainable.metrics.metric import Direction
from trainable.settings.stage import COMPARED_AT
from trainable.workers.messages import KEY, PERCENT_DONE, VALUE, TrialReport

COMPARED_AT_PERCENT = tuple(round(100 * share) for share in COMPARED_AT)
"""Comparison points: a trial is compared with others at these percents of its own training.

Trials with different `epochs` are then in the same phase of their learning rate schedules. Warm-up ends before the
first comparison point."""

SCHEDULERS: dict[str, Callable[[Direction], TrialScheduler]] = {
    "asha": lambda direction: AsyncHyperBandScheduler(
        PERCENT_DONE, VALUE, str(direction), grace_period=COMPARED_AT_PERCENT[0], max_t=100, reduction_factor=2
    ),
    "promotion": lambda direction: Promotion(COMPARED_AT_PERCENT, direction),
    # Without an endless time slice the rule would pause trials while there are too few to compare.
    "median": lambda direction: MedianStoppingRule(
        PERCENT_DONE,
        VALUE,
        str(direction),
        grace_period=COMPARED_AT_PERCENT[0],
        min_samples_required=3,
        min_time_slice=float("inf"),  # type: ignore[arg-type]  # Ray compares it with seconds; no int is endless
    ),
    "none": lambda direction: FIFOScheduler(),
}


def build_scheduler(
    name: str, direction: Direction, ended: Mapping[int, Mapping[int, float]], begun: Mapping[int, Mapping[int, float]]
) -> TrialScheduler:
    """Build a scheduler that compares the `value` of trials at equal `percent_done`.

    Args:
        name: a key of `SCHEDULERS`.
        direction: `max` or `min`.
        ended: values of trials that ended in earlier sessions, by trial number, then by progress in percent. The
            scheduler learns from them before it begins.
        begun: the same for trials that continue. Only `Promotion` uses them, as it recognises trials by number.
    """
    scheduler = SCHEDULERS[name](direction)
    earlier = {**ended, **begun} if isinstance(scheduler, Promotion) else ended
    for number, values in earlier.items():
        reports = (TrialReport("target", percent_done=p, value=value) for p, value in sorted(values.items()))
        results = (report.to_result() for report in reports)
        replay_to_scheduler(scheduler, f"earlier-{number}", {KEY: number}, results)
    return scheduler
