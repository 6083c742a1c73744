"""Names of the tags of a sweep's runs, and the key of a run's trial."""

from mlflow.entities import Run

from search.record.trial_names import Key, key_of

SWEEP = "transfersweep.sweep"
"""Tag with the sweep's name, on its own run and on the runs of its trials."""
SWEEP_ID = "transfersweep.sweep_id"
"""Tag with the sweep's id; no other sweep has it, even one of the same name."""
TRIAL = "transfersweep.trial"
"""Tag with a trial's key: its number; for a repeat also its seed."""
ROLE = "transfersweep.role"
"""Tag with a trial's role: `search`, or the kind of its repeat."""
SEED = "transfersweep.seed"
"""Tag with the seed that a trial trains with."""
REPEAT_OF = "transfersweep.of"
"""Tag of a repeat: the number of the trial that is repeated."""
KIND = "transfersweep.kind"
"""Tag with what a run is of: `sweep` or `trial`."""
STATE = "transfersweep.state"
"""Tag with the state in which a run ended."""
ERROR = "transfersweep.error"
"""Tag with the error of a trial that failed or was lost."""


def key_of_run(run: Run) -> Key | None:
    """Return the key of a run's trial; None for the sweep's own run."""
    tags = run.data.tags
    tag, repeat_of = tags.get(TRIAL), tags.get(REPEAT_OF)
    if tag is None or not tag.isdigit():
        return tag
    if repeat_of is None:
        return int(tag)
    # An earlier version numbered repeats like the trials of the search.
    return key_of(int(repeat_of), "no_source" if tags[ROLE] == "no_source" else "confirm", int(run.data.params["seed"]))
