"""Shows in a run what the end of the sweep says of its trial, and links in the description of the sweep's run."""

import re
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunTag

from search.tracking.mlflow_events import TrialResult

RESULT = "transfersweep.result"
"""Tag of a run: `winner`, `finalist` or `repeat`; other runs do not have it."""
RANK = "rank"
"""Metric of a run: 1 for the winner, then 2, 3, ...; the repeats of rank 1 have 1.01, 1.02, ..."""
NOTE = "mlflow.note.content"
"""Tag whose Markdown MLflow shows as the description of a run."""
_NOTE_LENGTH = 8000
_MARK = " (winner)"
_LINK = re.compile(r"\]\(run:([^)]*)\)")


def show_result(client: MlflowClient, run: Run, name: str, result: TrialResult, time: int) -> None:
    """Write the rank and the result of a trial into its run, as far as they differ from what is there.

    Args:
        client: of the store.
        run: the trial's run.
        name: its name without a mark; a name that a user gave is kept.
        result: of the trial.
        time: of the result, in milliseconds since 1970.
    """
    run_id, shown = run.info.run_id, run.data.tags.get(RESULT, "")
    tags = [RunTag(RESULT, result.result)] if result.result and result.result != shown else []
    metrics = [Metric(RANK, result.rank, time, 0)] if run.data.metrics.get(RANK) != result.rank else []
    if tags or metrics:
        client.log_batch(run_id, metrics=metrics, tags=tags)
    if shown and not result.result:
        client.delete_tag(run_id, RESULT)
    marked = name + _MARK if result.result == "winner" else name
    if run.info.run_name in (name, name + _MARK) and run.info.run_name != marked:
        client.update_run(run_id, name=marked)


def with_links(text: str, runs: Mapping[str, str]) -> str:
    """Replace links to `run:KEY` by the addresses of these runs; a link to another run becomes plain text."""
    linked = _LINK.sub(lambda link: f"]({runs[link[1]]})" if link[1] in runs else "]", text)
    return linked[:_NOTE_LENGTH]
