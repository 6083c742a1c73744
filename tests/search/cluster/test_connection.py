"""Ray as a sweep starts it: in the background, with processes that wait for their trials."""

import errno
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import ray
import torch
from ray.util import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from search.cluster import connection
from search.cluster.capacity import count_gpu_slots
from search.engine.watch.ray_watch import explain_lost_ray
from search.errors import StoppedError
from search.plan.settings import SweepSettings
from trainable.errors import ConfigError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(120)]

SETTINGS = SweepSettings(name="tiny")

COLLECTS_WHILE_RAY_ENDS = """
import ctypes, functools, gc, threading
import ray
from search.cluster import connection
from search.plan.settings import SweepSettings

class Knot:  # only the garbage collector frees it, which takes 20 ms; no other thread runs Python meanwhile
    def __init__(self, reference):
        self.itself, self.reference = self, reference
    __del__ = functools.partial(ctypes.PyDLL(None).usleep, 20_000)

def litter():
    while references:
        Knot(references.pop())
        [[] for _ in range(2000)]

connection.join(None, SweepSettings(name="tiny"))
references = [ray.put(number) for number in range(300)]
gc.set_threshold(50, 1, 1)
thread = threading.Thread(target=litter)
thread.start()
connection.leave()
assert gc.isenabled()
thread.join()
print("went on")
"""


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    connection.leave()


def test_a_ray_that_nothing_joins_is_ended() -> None:
    with pytest.raises(ZeroDivisionError), connection.starting(None, SETTINGS):
        raise ZeroDivisionError
    assert not ray.is_initialized()


def test_garbage_that_another_thread_collects_ends_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", COLLECTS_WHILE_RAY_ENDS], stdout=subprocess.PIPE, check=False)
    # Without the protection of `leave` the process ends with 1 and no output.
    assert (done.returncode, done.stdout.decode().strip()) == (0, "went on")


def test_a_lost_ray_is_reported_and_other_errors_are_raised_unchanged() -> None:
    with pytest.raises(StoppedError, match=r"Ray was lost \(Broken pipe\); .*: `go on`"), explain_lost_ray("go on"):
        raise OSError("Broken pipe")  # as Ray's check of its own states raises it
    for other in (BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError("no such model on the hub")):
        with pytest.raises(type(other)) as caught, explain_lost_ray("go on"):
            raise other
        assert caught.value is other


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "[::1]:{}", "no-such-host.invalid:{}", "127.0.0.1:99999"])
def test_a_missing_cluster_is_reported_at_once(address: str, free_port: Callable[[], int]) -> None:
    with pytest.raises(ConfigError, match="nothing listens there"):
        connection.join(address.format(free_port()), SETTINGS)


def test_processes_wait_for_their_slots() -> None:
    @ray.remote(num_cpus=1)
    class Slot:
        def born(self) -> float:
            return psutil.Process().create_time()

    connection.join(None, SETTINGS)
    # Like Tune: a trial takes its CPU, and later a process. By default Ray ends a surplus process after a second.
    group = placement_group([{"CPU": 1}])
    assert group.wait(10)
    time.sleep(3)
    strategy = PlacementGroupSchedulingStrategy(group)
    slots = [Slot.options(scheduling_strategy=strategy).remote(), Slot.remote()]
    first, second = ray.get([slot.born.remote() for slot in slots])
    assert abs(second - first) < 1  # both are processes that Ray has started at once


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another library hands out memory")
def test_slots_keep_their_memory() -> None:
    def faults() -> int:
        """Return how often the process waited for a page while it took and returned 16 MB, twenty times."""
        for turn in range(25):
            if turn == 5:
                begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.empty(2**22).fill_(1.0)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

    connection.join(None, SETTINGS)
    assert ray.get(ray.remote(faults).remote()) < 2_000  # 80,000 if each turn takes new pages
    assert "GLIBC_TUNABLES" not in os.environ


def test_settings_of_the_user_for_memory_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    connection.join(None, SETTINGS)
    assert ray.get(ray.remote(lambda: os.environ["GLIBC_TUNABLES"]).remote()) == "glibc.malloc.check=0"
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=0"


@pytest.mark.parametrize(
    ("gpus", "settings", "fit"),
    [
        (0, {}, 0),
        (1, {}, 1),
        (1, {"gpus_per_trial": 0.5}, 2),
        (3, {"gpus_per_trial": 0.5, "max_concurrent": 4}, 4),
        (2, {"gpus_per_trial": 2}, 1),
        (1, {"gpus_per_trial": 0}, 0),
        (1, {"cpus_per_trial": 2}, 0),
        (1, {"workers_per_trial": 2}, 0),
    ],
)
def test_as_many_processes_start_as_the_gpus_have_slots(
    gpus: int, settings: dict[str, Any], fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert count_gpu_slots(SweepSettings(name="tiny", **settings)) == fit


def test_a_machine_with_gpus_has_a_process_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    connection.join(None, SETTINGS)
    assert ray.cluster_resources()["CPU"] == 1
