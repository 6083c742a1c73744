"""The device and precision of a trial, the device's measured speed, and the ranks that share one trial."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.distributed as dist

from trainable.errors import PeerDiedError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
_NATIVE = ("avx512_bf16", "amx_bf16")
"""CPU features that compute bfloat16 in hardware."""
_PEAK_SECONDS = 5.0
"""Longest time that the large products of `matmul_peak` may take, estimated from the speed of small ones."""


@dataclass(frozen=True)
class Ranks:
    """The rank of this process among the processes that compute one trial together."""

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

    def broadcast_flag(self, flag: bool) -> bool:
        """Return the first rank's flag on all ranks; also a barrier."""
        return bool(self.broadcast_number(int(flag)))

    def broadcast_number(self, number: int) -> int:
        """Return the first rank's number on all ranks; also a barrier."""
        if self.size == 1:
            return number
        shared = torch.tensor([number if self.rank == 0 else 0], device=pick_device())
        self._reduce(shared)
        return int(shared.item())

    def _reduce(self, tensor: torch.Tensor) -> None:
        try:
            dist.all_reduce(tensor)
        except RuntimeError as error:
            raise PeerDiedError(f"an exchange between the workers of a trial failed: {error}") from error


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed the random draws on a device, as `torch.manual_seed` does for all kinds of devices.

    That function formats the call stack for each kind that the machine lacks: a quarter of a millisecond per step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


def gpu_is_unusable(error: BaseException) -> bool:
    """Return whether this process can no longer use its GPU: after such an error every further call fails."""
    if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")


def pick_device() -> torch.device:
    """Return this process's current GPU (Ray Train gives each worker its own), or the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


@dataclass(frozen=True)
class Arithmetic:
    """The precision of matrix products on a device, and why it was chosen."""

    precision: str
    """`fp32` or `bf16`."""
    reason: str
    """Why this precision was chosen, as a sentence."""
    slowdown: float = 1.0
    """Measured time relative to float32, at least 1; above 1 only if the hardware has no bfloat16 arithmetic."""

    @property
    def warning(self) -> str:
        """Return a warning if bfloat16 costs much time; else empty."""
        if self.slowdown < 1.5:
            return ""
        return (
            f"precision: {self.precision}: this hardware has no bfloat16 arithmetic; a layer takes "
            f"{self.slowdown:.0f} times as long as in fp32 (measured here); set precision: auto"
        )


def choose_arithmetic(precision: str, device: torch.device) -> Arithmetic:
    """Choose the precision of a trial on this device from its setting, with the reason and the slowdown."""
    native, taken = native_bfloat16(device), resolve_precision(precision, device)
    if precision != "auto":
        slow = taken == "bf16" and not native
        return Arithmetic(taken, f"{taken}, as precision says", _slowdown(device) if slow else 1.0)
    lacks = "the GPU has no bfloat16 arithmetic" if device.type == "cuda" else f"the CPU has no {' or '.join(_NATIVE)}"
    return Arithmetic(taken, f"auto took {taken}: {native or lacks}")


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return `fp32` or `bf16`: the setting, or the choice of `auto` on this device."""
    if precision != "auto":
        return precision
    return "bf16" if native_bfloat16(device) else "fp32"


def native_bfloat16(device: torch.device) -> str:
    """Return why the device has bfloat16 in hardware, such as `the CPU has avx512_bf16`; empty if it has not."""
    if device.type == "cuda":
        return "the GPU has it" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    features = torch.cpu.get_capabilities()
    found = [name for name in _NATIVE if features.get(name)]
    return f"the CPU has {' and '.join(found)}" if found else ""


@cache
def _slowdown(device: torch.device) -> float:
    """Return how many times as long a layer takes in bfloat16 as in float32, forward and backward.

    On a CPU this measures the processor time of one thread, as elapsed time also depends on other processes.
    """
    on_gpu, threads = device.type == "cuda", torch.get_num_threads()
    clock = time.perf_counter if on_gpu else time.process_time
    rows, weight = torch.ones(256, 384, device=device), torch.ones(384, 384, device=device, requires_grad=True)

    def layer() -> None:
        torch.nn.functional.linear(rows, weight).sum().backward()

    seconds = []
    torch.set_num_threads(threads if on_gpu else 1)
    try:
        for precision in ("fp32", "bf16"):
            with autocast(precision, device):
                layer()  # the first call is slower
                seconds.append(min(_timed(layer, device, clock) for _ in range(5)))
    finally:
        torch.set_num_threads(threads)
    return max(1.0, seconds[1] / seconds[0])


@cache
def matmul_peak(device: torch.device, precision: str) -> float:
    """Return the highest measured FLOP/s of a large matrix product; measured once per process, in 0.25 s.

    Args:
        device: the device; a CPU uses this process's number of threads.
        precision: `fp32` or `bf16`.
    """
    sizes, tries = ((256, 4096), 30) if device.type == "cuda" else ((128, 1024), 12)
    peak = 0.0
    for size in sizes:
        flops = 2 * size**3
        if peak and flops * tries > peak * _PEAK_SECONDS:  # too slow: the hardware only emulates this precision
            break
        one, other = torch.ones(2, size, size, device=device, dtype=PRECISIONS[precision])
        peak = max(peak, *(flops / _timed(partial(torch.matmul, one, other), device) for _ in range(tries)))
    return peak


def _timed(call: Callable[[], object], device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds until the device has finished a call."""
    begin = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - begin


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return a context with matrix products in bfloat16 if `precision` is `bf16`; weights and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
