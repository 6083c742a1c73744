"""What a user asks for: `export --prune` and `--quantize`. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainable.errors import ConfigError

Kind = Literal["layers", "heads"]


@dataclass(frozen=True)
class Prune:
    """Parts of an encoder to remove."""

    kind: Kind
    amount: float
    """A number of layers from 1 on, or a fraction of the heads between 0 and 1."""

    def __str__(self) -> str:
        """Return it as the user writes it."""
        return f"{self.kind}={self.amount:g}"


@dataclass(frozen=True)
class Smaller:
    """How an export makes its model smaller. Pruning comes before quantisation."""

    prune: Prune | None = None
    int8: bool = False
    most_loss: float = 0.01
    """How much worse the sweep's metric may become on the validation rows, in its own units."""

    @property
    def is_wanted(self) -> bool:
        """Return whether anything is to be changed."""
        return self.prune is not None or self.int8


def smaller_from(prune: str | None, quantize: str | None, most_loss: float, format: str) -> Smaller:
    """Return what the options of the command line say.

    Args:
        prune: `layers=NUMBER` or `heads=FRACTION`.
        quantize: `int8`.
        most_loss: `--max-loss`.
        format: `--format`.

    Raises:
        ConfigError: naming every option that cannot be used.
    """
    problems, asked = list[str](), None
    if quantize and format != "onnx":
        problems.append(f"--quantize {quantize}: needs --format onnx")
    if prune is not None:
        asked = _parsed(prune)
        if asked is None:
            ways = "give layers=NUMBER, such as layers=2, or heads=FRACTION, such as heads=0.25"
            problems.append(f"--prune {prune}: cannot be understood; {ways}")
        elif asked.kind == "heads" and format != "onnx":
            why = "transformers' configurations have one number of heads for all layers"
            problems.append(f"--prune {prune}: needs --format onnx, as {why}")
    if problems:
        raise ConfigError(problems)
    return Smaller(asked, quantize is not None, most_loss)


def _parsed(text: str) -> Prune | None:
    kind, _, number = text.partition("=")
    try:
        amount = float(number)
    except ValueError:
        return None
    if kind == "layers" and amount >= 1 and amount == int(amount):
        return Prune("layers", amount)
    return Prune("heads", amount) if kind == "heads" and 0 < amount < 1 else None
