"""Samples the load of the driver's machine, as MLflow's system metrics do, from a thread of its own."""

import threading
from collections.abc import Callable, Mapping

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class MachineLoad:
    """Tells the machine's CPU, memory, disk, network and GPU use every 10 s, or as often as MLflow's setting says.

    MLflow's own monitor ends for good at the first request that fails; here it only measures.

    Args:
        uri: a tracking URI that can be opened; nothing is sent there from here.
        tell: called with metrics by name, such as `system/cpu_utilization_percentage`, from the thread.
    """

    def __init__(self, uri: str, tell: Callable[[Mapping[str, float]], None]) -> None:
        self._tell = tell
        self._meter = SystemMetricsMonitor(run_id="", tracking_uri=uri)  # never started
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine-load", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no further sample."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._meter.collect_metrics()
            if self._ended.wait(self._meter.sampling_interval):
                return
            self._tell({f"system/{name}": value for name, value in self._meter.aggregate_metrics().items()})
            for monitor in self._meter.monitors:
                monitor.clear_metrics()
