"""The public Python interface: `run` an experiment, `load` the outcome of a sweep, use the model.

>>> import transfersweep
>>> outcome = transfersweep.run("sms.yaml", settings={"sweep.trials": 5})
>>> outcome = transfersweep.load("sms-spam")
>>> transfersweep.trials_frame(outcome).sort_values("value")
>>> transfersweep.figures(outcome)["Score of each trial"].show()
>>> folder = transfersweep.export(outcome, "sms-model")
>>> classify = transfersweep.classifier(folder)
>>> classify("Win a prize now").label
'spam'

A notebook shows an outcome as text and tables. docs/python.ipynb has all of it.

Import this package instead of `search`, `spaces` and `trainable`: these names are common, and another distribution may
install a package with the same name. The first use of a function checks for that.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api.calls import classifier, export, load, run
    from search.api.figures import figures
    from search.api.frame import trials_frame
    from search.api.outcome import Outcome

__all__ = ["Outcome", "classifier", "export", "figures", "load", "run", "trials_frame"]

_PACKAGES = ("search", "spaces", "trainable")
_MODULES = {"Outcome": "outcome", "figures": "figures", "trials_frame": "frame"}
"""Modules of `search.api`, by the names that they define; the other names are in `calls`."""


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


def __getattr__(name: str) -> Any:
    """Import a function at its first use, because the imports take time; check the packages before.

    Raises:
        ImportError: see `check_packages`.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_packages()
    return getattr(import_module(f"search.api.{_MODULES.get(name, 'calls')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
