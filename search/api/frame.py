"""The trials of a sweep as a pandas frame."""

from __future__ import annotations

from typing import Any

import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package

from search.record.records import Outcome

_FIELDS = ("number", "role", "seed", "state", "value", "progress", "seconds")


def trials_frame(outcome: Outcome) -> pd.DataFrame:
    """Return a row for each trial and each repeat, in the order in which they began.

    Columns: `number`, `role`, `seed`, `state`, `value` (the sweep's metric on validation), `progress` (0 to 1) and
    `seconds`; then every searched setting, and every score at the trial's best evaluation, by dotted names. A setting
    that a trial does not have is missing (NaN or None).
    """
    rows: list[dict[str, Any]] = [
        {**{name: getattr(each, name) for name in _FIELDS}, **each.params, **each.changes, **each.metrics}
        for each in outcome.trials
    ]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(name for row in rows for name in row)) or list(_FIELDS))
    return frame.assign(role=frame["role"].astype(str), state=frame["state"].astype(str))
