"""One session of a search: Tune runs trials until nothing is left to do, or until a stop is requested."""

import uuid

from rich.console import Console

from search.engine.activities import Activities
from search.engine.tuner import SweepParts, build_tuner
from search.engine.watch.stop_request import stop_on_signals
from search.plan.settings import SweepSettings
from search.show.view import LiveView
from search.study.baselines import baselines_so_far


def run_session(parts: SweepParts, console: Console) -> None:
    """Run trials and show their progress.

    Args:
        parts: the objects of the sweep.
        console: prints the live view.
    """
    settings, folder, stop = parts.plan.settings, parts.folder, parts.stop
    session = f"tune-{uuid.uuid4().hex[:8]}"
    parts.study.store_session_folder(session)
    hint = f"If this sweep ends early for any reason, continue it with `{folder.command('resume')}`"
    console.print(hint, markup=False, highlight=False, soft_wrap=True)
    activities = Activities()
    limits, log = _describe_budget(settings), str(folder.log)
    with LiveView(settings.name, settings.metric, settings.direction, limits, console, log) as view:

        def show() -> None:
            records, budget = parts.study.records, parts.budget
            baselines = baselines_so_far(folder.path, records, settings.metric)
            now = activities.of(record.key for record in records if not record.ended)
            view.update(records, budget.used(), budget.time_left(parts.slots.now), baselines, now)

        tuner = build_tuner(parts, session, activities, show)
        with stop_on_signals(stop, console.print):
            try:
                tuner.fit()
            except KeyboardInterrupt:
                stop.request()
            finally:
                parts.budget.save()
                show()  # the last event may have ended waiting trials


def _describe_budget(settings: SweepSettings) -> str:
    limits = [] if settings.is_limited_by_time else [f"{settings.most_trials} trials"]
    limits += [f"{settings.minutes:g} minutes"] if settings.minutes else []
    limits += [f"{settings.worker_hours:g} worker-hours"] if settings.worker_hours else []
    return ", ".join(limits)
