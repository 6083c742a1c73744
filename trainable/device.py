"""The device a trial computes on, its arithmetic, and the ranks that share one trial."""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import torch
import torch.distributed as dist

from trainable.errors import PeerDiedError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that compute one trial together."""

    rank: int = 0
    size: int = 1

    def sum_(self, *tensors: torch.Tensor) -> None:
        """Sum tensors over all ranks, in place, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._reduce(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, flag: bool) -> bool:
        """The first rank's flag, told to all; also a barrier."""
        return bool(self.agree_on(int(flag)))

    def agree_on(self, number: int) -> int:
        """The first rank's number, told to all; also a barrier."""
        if self.size == 1:
            return number
        told = torch.tensor([number if self.rank == 0 else 0], device=pick_device())
        self._reduce(told)
        return int(told.item())

    def _reduce(self, tensor: torch.Tensor) -> None:
        try:
            dist.all_reduce(tensor)
        except RuntimeError as error:
            raise PeerDiedError(f"an exchange between the workers of a trial failed: {error}") from error


def is_poisoned(error: BaseException) -> bool:
    """Whether the GPU can no longer be used by this process: after such an error every further call fails."""
    if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")


def pick_device() -> torch.device:
    """This process's current GPU (Ray Train gives each worker its own), or the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def resolve_precision(precision: str, device: torch.device) -> str:
    """`fp32` or `bf16`: what `auto` means on this device."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


@cache
def matmul_peak(device: torch.device, precision: str) -> float:
    """The most FLOP/s of a large matrix product in this process, as measured once, in a quarter of a second.

    Args:
        device: where; a CPU with the threads that this process has.
        precision: `fp32` or `bf16`.
    """
    on_gpu = device.type == "cuda"
    size, tries = (4096, 30) if on_gpu else (1024, 12)
    one, other = torch.ones(2, size, size, device=device, dtype=PRECISIONS[precision])
    seconds = math.inf
    for _ in range(tries):
        begin = time.perf_counter()
        one @ other
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds = min(seconds, time.perf_counter() - begin)
    return 2 * size**3 / seconds


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Matrix products in bfloat16 where `precision` says so; weights and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
