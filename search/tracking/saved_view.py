"""How MLflow's page shows the trials of a sweep: best first, with the score and the searched settings as columns.

The page of MLflow 3.17 reads this state from a tag of the experiment, see `search.tracking.experiment`. MLflow does not
document it; a test opens the page in a browser.
"""

import base64
import json
import zlib
from collections.abc import Sequence

from search.tracking.replay import SCORE
from search.tracking.run_results import RANK, RESULT
from search.tracking.run_tags import KIND, SWEEP_ID
from trainable.metrics.metric import Direction

_SECTION = "transfersweep"
_SECTION_LAYOUT = {
    **{"display": True, "isReordered": False, "deleted": False, "isGenerated": False},
    **{"columns": 2, "cardHeight": 420},
}
_FIRST_COLUMNS = ["1", "attributes.`Run Name`"]  # the first one has the boxes to select runs
_LAST_COLUMNS = ["duration", "runDateAndNestInfo"]
_WIDTHS = {"attributes.`Run Name`": 190, "duration": 80, "runDateAndNestInfo": 130}  # pixels
_COLUMN_WIDTH = 105  # pixels
_BARS = 20
"""Runs in the bar chart, at most."""


def view_state(sweep_id: str, searched: Sequence[str], direction: Direction, ranked: bool) -> str:
    """Return the state of the page.

    Args:
        sweep_id: of the sweep; the page shows its trials alone.
        searched: dotted names of the searched settings.
        direction: of the metric.
        ranked: whether the runs have ranks; they have at the end of the sweep. Before, the score decides.
    """
    columns = [_column("tags", RESULT), _column("metrics", SCORE), *(_column("params", name) for name in searched)]
    state = {
        "searchFilter": f"tags.`{SWEEP_ID}` = '{sweep_id}' AND tags.`{KIND}` = 'trial'",
        "orderByKey": _column("metrics", RANK if ranked else SCORE),
        "orderByAsc": ranked or direction is Direction.MIN,
        "selectedColumns": columns,
        "columnOrder": [*_FIRST_COLUMNS, *columns, *_LAST_COLUMNS],
        "columnWidths": _WIDTHS | dict.fromkeys(columns, _COLUMN_WIDTH),
        "compareRunSections": [{"uuid": _SECTION, "name": "Best trials", **_SECTION_LAYOUT}],
        "compareRunCharts": _charts(searched),
        "isAccordionReordered": True,  # the section above stays the first one
    }
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _charts(searched: Sequence[str]) -> list[dict[str, object]]:
    """Return a bar of the score for each of the best runs, and parallel coordinates."""
    bars = {"type": "BAR", "metricKey": SCORE, "displayName": SCORE, "runsCountToCompare": _BARS}
    parallel = {"type": "PARALLEL", "selectedParams": list(searched), "selectedMetrics": [SCORE], "showAllRuns": True}
    return [
        {"uuid": f"{_SECTION}-{number}", "metricSectionId": _SECTION, "deleted": False, "isGenerated": False} | chart
        for number, chart in enumerate((bars, parallel))
    ]


def _column(kind: str, name: str) -> str:
    """Return the name of a column as MLflow's page writes it."""
    return f"{kind}.`{name}`"
