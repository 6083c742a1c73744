"""The public Python interface: `run` an experiment, `load` the outcome of a sweep, use an exported `classifier`.

>>> import transfersweep
>>> outcome = transfersweep.run("sms.yaml", settings={"sweep.trials": 5})
>>> outcome = transfersweep.load("sms-spam")
>>> transfersweep.trials_frame(outcome).sort_values("value")
>>> classify = transfersweep.classifier("sms-model")
>>> classify("Win a prize now").label
'spam'

Import this package instead of `search`, `spaces` and `trainable`: these names are common, and another distribution may
install a package with the same name. These functions check for that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.export.classifier import Classifier
    from search.record.records import Outcome
    from transfersweep.frame import trials_frame

__all__ = ["Outcome", "classifier", "load", "run", "trials_frame"]

_PACKAGES = ("search", "spaces", "trainable")


def check_packages() -> None:
    """Check that Python finds the packages of transfersweep under their names, and not others.

    Raises:
        ImportError: naming the foreign package and its folder.
    """
    here = Path(__file__).parents[1]
    for name in _PACKAGES:
        spec = find_spec(name)
        origin = Path(spec.origin) if spec and spec.origin else None
        if origin is None or origin.parents[1] != here:
            where = origin.parent if origin else "nowhere"
            raise ImportError(
                f"transfersweep needs its own package {name!r} in {here}, but Python finds {where}; "
                "install transfersweep in a separate environment, or start Python in another folder"
            )


def run(
    experiment: str | Path | Mapping[str, Any],
    *,
    storage: str | Path = "runs",
    address: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run a sweep and return its outcome.

    Args:
        experiment: a file, the name of a shipped experiment, or its blocks as a mapping (`sweep`, `trial`, `space`).
        storage: the folder of all sweeps, their caches and the MLflow database.
        address: a running Ray cluster to join, such as `auto`; None starts Ray on this machine.
        settings: values by dotted name that replace values of the experiment, such as `{"sweep.trials": 5}`.

    Raises:
        ImportError: see `check_packages`.
        search.errors.PlanError: naming every mistake in the experiment; also if a sweep of that name exists.
        trainable.errors.ConfigError: naming every reason why the sweep cannot begin.
    """
    check_packages()
    from search.engine.start import start_sweep
    from search.plan.plan import find_experiment, load_plan, plan_from_blocks
    from search.startup.dry_run_process import DryRunProcess

    given = {name: json.dumps(value) for name, value in (settings or {}).items()}
    if isinstance(experiment, Mapping):
        plan = plan_from_blocks(experiment, given)
    else:
        plan = load_plan(find_experiment(str(experiment)), given)
    return start_sweep(plan, Path(storage), address, DryRunProcess if address is None else None)


def load(name: str, *, storage: str | Path = "runs") -> Outcome:
    """Return the outcome of a sweep; while it runs or is interrupted, its current state.

    Args:
        name: the name of the sweep.
        storage: the folder of all sweeps.

    Raises:
        search.errors.PlanError: if there is no such sweep.
    """
    check_packages()
    from search.show.current import current_outcome

    return current_outcome(name, Path(storage))


def classifier(folder: str | Path) -> Classifier:
    """Load a model that `transfersweep export` wrote, in any format.

    Args:
        folder: the exported folder.

    Returns:
        A function: `classify("a text").label` is the label of a text; a list of texts gives a list. For a model that
        labels pairs, a row is a tuple of two texts.

    Raises:
        ImportError: see `check_packages`.
        trainable.errors.ConfigError: if it is not such a folder, is damaged, or a package that loads it is missing.
    """
    check_packages()
    from search.export.classifier import Classifier

    return Classifier.load(Path(folder))


def __getattr__(name: str) -> Any:
    """Import `Outcome` and `trials_frame` at their first use, because the imports take time."""
    if name == "Outcome":
        check_packages()
        from search.record.records import Outcome

        return Outcome
    if name == "trials_frame":
        from transfersweep.frame import trials_frame

        return trials_frame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
