"""Samples the load of the driver's machine in a thread of its own, under the names of MLflow's system metrics."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL

_SECONDS = 10.0
"""Between two samples, unless MLflow's environment variable says otherwise."""


class SystemMetrics:
    """Samples CPU, memory, disk, network and NVIDIA GPUs; these need the package `nvidia-ml-py`.

    MLflow's own monitor sends its samples itself, and stops for good at the first request that fails.

    Args:
        log: called from the thread with each sample: metrics by name, such as `system/cpu_utilization_percentage`.
    """

    def __init__(self, log: Callable[[Mapping[str, float]], None]) -> None:
        self._log = log
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no further sample."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        nvml, before = _nvml(), psutil.net_io_counters()
        psutil.cpu_percent()  # the next call of this thread gives the mean since this one
        while not self._ended.wait(MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or _SECONDS):
            sample = _machine() | _network(before) | (_gpus(nvml) if nvml else {})
            self._log({f"system/{name}": value for name, value in sample.items()})


def _machine() -> dict[str, float]:
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(os.sep)
    return {
        "cpu_utilization_percentage": round(psutil.cpu_percent(), 1),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": round(memory.used / memory.total * 100, 1),
        "disk_usage_percentage": round(disk.percent, 1),
        "disk_usage_megabytes": round(disk.used / 1e6, 1),
        "disk_available_megabytes": round(disk.free / 1e6, 1),
    }


def _network(before: Any) -> dict[str, float]:
    """What has been received and sent since then."""
    now = psutil.net_io_counters()
    return {
        "network_receive_megabytes": (now.bytes_recv - before.bytes_recv) / 1e6,
        "network_transmit_megabytes": (now.bytes_sent - before.bytes_sent) / 1e6,
    }


def _nvml() -> Any:
    """NVIDIA's management library, ready for use; None where the package, the library or a GPU is missing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _gpus(nvml: Any) -> dict[str, float]:
    """What each GPU can say; some kinds know neither their power nor, when shared, their use."""
    found: dict[str, float] = {}
    for number in range(nvml.nvmlDeviceGetCount()):
        handle, gpu = nvml.nvmlDeviceGetHandleByIndex(number), f"gpu_{number}"
        with suppress(nvml.NVMLError):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found[f"{gpu}_memory_usage_percentage"] = round(memory.used / memory.total * 100, 1)
            found[f"{gpu}_memory_usage_megabytes"] = round(memory.used / 1e6, 1)
        with suppress(nvml.NVMLError):
            found[f"{gpu}_utilization_percentage"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with suppress(nvml.NVMLError):
            milliwatts, limit = nvml.nvmlDeviceGetPowerUsage(handle), nvml.nvmlDeviceGetEnforcedPowerLimit(handle)
            found[f"{gpu}_power_usage_watts"] = round(milliwatts / 1000, 1)
            found[f"{gpu}_power_usage_percentage"] = round(milliwatts / limit * 100, 1)
    return found
