"""Measures the load of the driver's machine in a separate thread, with the names of MLflow's system metrics."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psutil  # type: ignore[import-untyped]  # its stubs are a separate package
from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL

_INTERVAL_SECONDS = 10.0
"""Time between two samples, if MLflow's environment variable does not set another."""


class SystemMetrics:
    """Samples CPU, memory, disk, network and NVIDIA GPUs (GPUs need the package `nvidia-ml-py`).

    MLflow's own monitor is not used: it sends its samples itself, and stops at the first request that fails.

    Args:
        log: the thread calls it with each sample: metrics by name, such as `system/cpu_utilization_percentage`.
    """

    def __init__(self, log: Callable[[Mapping[str, float]], None]) -> None:
        self._log = log
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        nvml, network_at_start = _nvml(), psutil.net_io_counters()
        psutil.cpu_percent()  # the next call in this thread returns the mean since this call
        while not self._stopped.wait(MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or _INTERVAL_SECONDS):
            sample = _machine() | _network(network_at_start) | (_gpus(nvml) if nvml else {})
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


def _network(at_start: Any) -> dict[str, float]:
    """Return the traffic since the given counters."""
    now = psutil.net_io_counters()
    return {
        "network_receive_megabytes": (now.bytes_recv - at_start.bytes_recv) / 1e6,
        "network_transmit_megabytes": (now.bytes_sent - at_start.bytes_sent) / 1e6,
    }


def _nvml() -> Any:
    """Return NVIDIA's management library, initialised; None if the package, the library or a GPU is missing."""
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
    """Return the metrics of each GPU; some kinds do not report their power, or their utilization when shared."""
    metrics: dict[str, float] = {}
    for number in range(nvml.nvmlDeviceGetCount()):
        handle, gpu = nvml.nvmlDeviceGetHandleByIndex(number), f"gpu_{number}"
        with suppress(nvml.NVMLError):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            metrics[f"{gpu}_memory_usage_percentage"] = round(memory.used / memory.total * 100, 1)
            metrics[f"{gpu}_memory_usage_megabytes"] = round(memory.used / 1e6, 1)
        with suppress(nvml.NVMLError):
            metrics[f"{gpu}_utilization_percentage"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with suppress(nvml.NVMLError):
            milliwatts, limit = nvml.nvmlDeviceGetPowerUsage(handle), nvml.nvmlDeviceGetEnforcedPowerLimit(handle)
            metrics[f"{gpu}_power_usage_watts"] = round(milliwatts / 1000, 1)
            metrics[f"{gpu}_power_usage_percentage"] = round(milliwatts / limit * 100, 1)
    return metrics
