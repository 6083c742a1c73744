"""The settings that tell trials apart."""

from collections.abc import Sequence

from search.record.records import TrialRecord
from trainable.settings.values import Params


def varying_names(trials: Sequence[TrialRecord]) -> list[str]:
    """Return the names of settings that differ between trials; a setting that some trials lack differs too."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [name for name in names if len({repr(trial.params.get(name)) for trial in trials}) > 1]


def varying_settings(trial: TrialRecord, trials: Sequence[TrialRecord]) -> Params:
    """Return the settings of a trial that differ between trials; all of them if there is only one trial."""
    names = varying_names(trials) if len(trials) > 1 else list(trial.params)
    return {name: trial.params[name] for name in names if name in trial.params}
