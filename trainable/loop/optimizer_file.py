"""Saves and loads the state of an optimiser as safetensors, by the names of the parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

_FILE = "optimizer.safetensors"


def save_optimizer(optimizer: torch.optim.Optimizer, trained: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write the state of an optimiser into a folder.

    Args:
        optimizer: the optimiser.
        trained: its parameters by name.
        folder: an existing folder.
    """
    state, names = optimizer.state_dict()["state"], _names(optimizer, trained)
    flat = {f"{names[i]}:{key}": t for i, values in state.items() for key, t in values.items() if t is not None}
    save_file(contiguous(flat), folder / _FILE)


def load_optimizer(
    optimizer: torch.optim.Optimizer, trained: Mapping[str, torch.Tensor], folder: Path, device: str
) -> None:
    """Give an optimiser the state that `save_optimizer` has written; its settings stay as they are."""
    state: dict[int, dict[str, Any]] = {}
    numbers = {name: number for number, name in enumerate(_names(optimizer, trained))}
    for entry, tensor in load_file(folder / _FILE, device=device).items():
        name, _, key = entry.partition(":")
        state.setdefault(numbers[name], {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _names(optimizer: torch.optim.Optimizer, trained: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the parameters' names in the order in which the optimiser numbers them."""
    names = {id(parameter): name for name, parameter in trained.items()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors as safetensors can write them."""
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
