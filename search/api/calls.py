"""Functions that do what commands do: `run`, `load`, `export` and `classifier`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from search.api.outcome import Outcome
from trainable.settings.values import Nested, Params

if TYPE_CHECKING:
    from search.export.classifier import Classifier
    from search.export.formats.about import FormatChoice


def run(
    experiment: str | Path | Nested,
    *,
    storage: str | Path = "runs",
    address: str | None = None,
    settings: Params | None = None,
) -> Outcome:
    """Run a sweep and return its outcome.

    Args:
        experiment: a file, the name of a shipped experiment, or its blocks as a mapping (`sweep`, `trial`, `space`).
        storage: the folder of all sweeps, their caches and the MLflow database.
        address: a running Ray cluster to join, such as `auto`; None starts Ray on this machine.
        settings: values by dotted name that replace values of the experiment, such as `{"sweep.trials": 5}`.

    Raises:
        search.errors.PlanError: naming every mistake in the experiment; also if a sweep of that name exists.
        trainable.errors.ConfigError: naming every reason why the sweep cannot begin.
    """
    from search.engine.start import start_sweep
    from search.plan.plan import find_experiment, load_plan, plan_from_blocks
    from search.startup.dry_run_process import DryRunProcess

    given = {name: json.dumps(value) for name, value in (settings or {}).items()}
    if isinstance(experiment, Mapping):
        plan = plan_from_blocks(experiment, given)
    else:
        plan = load_plan(find_experiment(str(experiment)), given)
    return Outcome.of(start_sweep(plan, Path(storage), address, DryRunProcess if address is None else None))


def load(name: str, *, storage: str | Path = "runs") -> Outcome:
    """Return the outcome of a sweep; while it runs or is interrupted, its current state.

    Args:
        name: the name of the sweep.
        storage: the folder of all sweeps.

    Raises:
        search.errors.PlanError: if there is no such sweep.
    """
    from search.show.current import current_outcome

    return Outcome.of(current_outcome(name, Path(storage)))


def export(outcome: Outcome, to: str | Path, *, format: FormatChoice = "auto") -> Path:
    """Write the winning model to a folder that other tools load; return the folder.

    Args:
        outcome: of a sweep with a winner.
        to: a folder that does not exist yet, or is empty.
        format: of the folder, as in `transfersweep export`.

    Raises:
        trainable.errors.ConfigError: if there is no model, the folder is taken, or the format cannot hold the model.
        trainable.errors.TrialError: if the exported model does not give the answers of the trained one.
    """
    from search.export.export import export_trial
    from search.export.exportable import choose

    chosen = choose(outcome.name, Path(outcome.storage), Path(to), format=format)
    export_trial(chosen)
    return chosen.to


def classifier(folder: str | Path) -> Classifier:
    """Load a model that `export` wrote, in any format.

    Args:
        folder: the exported folder.

    Returns:
        A function: `classify("a text").label` is the label of a text; a list of texts gives a list. For a model that
        labels pairs, a row is a tuple of two texts.

    Raises:
        trainable.errors.ConfigError: if it is not such a folder, is damaged, or a package that loads it is missing.
    """
    from search.export.classifier import Classifier

    return Classifier.load(Path(folder))
