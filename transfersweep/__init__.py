"""The public door in Python: `run` an experiment, `load` what a sweep has come to.

>>> import transfersweep
>>> outcome = transfersweep.run("sms.yaml", settings={"sweep.trials": 5})
>>> outcome = transfersweep.load("sms-spam")

Import this package instead of `search`, `spaces` and `trainable`: these names are common, and another distribution may
install a package of the same name. `run` and `load` notice that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.record.records import Outcome

__all__ = ["Outcome", "load", "run"]

_PACKAGES = ("search", "spaces", "trainable")


def check_packages() -> None:
    """See that our packages are the ones that Python finds under their names.

    Raises:
        ImportError: naming the package that is another distribution's, and where it lies.
    """
    here = Path(__file__).parents[1]
    for name in _PACKAGES:
        spec = find_spec(name)
        origin = Path(spec.origin) if spec and spec.origin else None
        if origin is None or origin.parents[1] != here:
            where = origin.parent if origin else "nowhere"
            raise ImportError(
                f"transfersweep needs its own package {name!r} in {here}, but Python finds {where}; "
                "install transfersweep in an environment of its own, or start Python in another folder"
            )


def run(
    experiment: str | Path | Mapping[str, Any],
    *,
    storage: str | Path = "runs",
    address: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run a sweep to its end.

    Args:
        experiment: a file, the name of a shipped experiment, or its blocks as a mapping (`sweep`, `trial`, `space`).
        storage: the folder of all sweeps, their caches and the MLflow database.
        address: a running Ray cluster to join, such as `auto`; none starts one here.
        settings: values by dotted name that replace those of the experiment, such as `{"sweep.trials": 5}`.

    Raises:
        ImportError: as `check_packages`.
        search.errors.PlanError: naming every mistake in the experiment, or a sweep of the name exists.
        trainable.errors.ConfigError: with every reason for which the sweep cannot begin.
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
    """The outcome of a sweep, or its state while it runs or is interrupted.

    Args:
        name: the sweep.
        storage: the folder of all sweeps.

    Raises:
        search.errors.PlanError: if there is no such sweep.
    """
    check_packages()
    from search.show.current import current_outcome

    return current_outcome(name, Path(storage))


def __getattr__(name: str) -> Any:
    """`Outcome`, imported when it is asked for."""
    if name == "Outcome":
        check_packages()
        from search.record.records import Outcome

        return Outcome
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
