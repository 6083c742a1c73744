"""The settings that tell trials apart."""

from collections.abc import Sequence

from search.record.records import TrialRecord


def varying_names(trials: Sequence[TrialRecord]) -> list[str]:
    """Return the names of settings that differ between trials; a setting that some trials lack differs too."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [name for name in names if len({repr(trial.params.get(name)) for trial in trials}) > 1]
