"""One session of a search: Tune runs trials until nothing is left to do, or until a halt is wanted."""

import uuid

from rich.console import Console

from search.engine.stop_request import stop_on_signals
from search.engine.tuner import SweepParts, build_tuner
from search.plan.settings import SweepSettings
from search.show.view import LiveView


def run_session(parts: SweepParts, console: Console) -> None:
    """Run trials, and show how far they are.

    Args:
        parts: of the search.
        console: where it is shown.
    """
    settings, folder, stop = parts.plan.settings, parts.folder, parts.stop
    session = f"tune-{uuid.uuid4().hex[:8]}"
    parts.study.begin_session(session)
    hint = f"Should this end before its time, whatever the cause: `{folder.command('resume')}` goes on"
    console.print(hint, markup=False, highlight=False, soft_wrap=True)
    words, log = _budget_in_words(settings), str(folder.log)
    with LiveView(settings.name, settings.metric, settings.direction, words, console, log) as view:

        def show() -> None:
            view.update(parts.study.records, parts.budget.used(), parts.budget.time_left(parts.capacity.slots))

        tuner = build_tuner(parts, session, show)
        with stop_on_signals(stop, console.print):
            try:
                tuner.fit()
            except KeyboardInterrupt:
                stop.request()
            finally:
                parts.budget.save()
                show()  # trials that waited may have ended last


def _budget_in_words(settings: SweepSettings) -> str:
    parts = [f"{settings.trials} trials"]
    parts += [f"{settings.minutes:g} minutes"] if settings.minutes else []
    parts += [f"{settings.worker_hours:g} worker-hours"] if settings.worker_hours else []
    return ", ".join(parts)
