"""Samples have the same names and units as those of MLflow's own monitor."""

import threading
from collections.abc import Mapping

import pytest
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from search.tracking.system_metrics import SystemMetrics


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, float]]:
    """Take three samples, 0.05 s apart."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    found: list[Mapping[str, float]] = []
    enough = threading.Event()

    def take(sample: Mapping[str, float]) -> None:
        found.append(sample)
        if len(found) == 3:
            enough.set()

    metrics = SystemMetrics(take)
    assert enough.wait(60)
    metrics.stop()
    taken = len(found)
    assert not threading.Event().wait(0.2)
    assert len(found) == taken
    return found


def test_names_and_units_are_those_of_mlflow(samples: list[Mapping[str, float]], tmp_path: object) -> None:
    monitor = SystemMetricsMonitor(run_id="", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    monitor.collect_metrics()
    theirs = {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
    for sample in samples:
        assert sample.keys() == theirs.keys()  # on a machine with GPUs, those of `nvidia-ml-py` too
        for name in theirs.keys() - {"system/cpu_utilization_percentage"}:
            if "network" not in name and "gpu" not in name:
                assert sample[name] == pytest.approx(
                    theirs[name], rel=0.5
                )  # a wrong unit is off by a factor of 100 or more
        assert 0 <= sample["system/cpu_utilization_percentage"] <= 100
        assert sample["system/network_receive_megabytes"] >= 0
