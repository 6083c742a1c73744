"""The services that a sweep needs, and a class that kills them, for `faults.py`."""

import random
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from common import ROOT, environment

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
NODES = ("head", "node 1", "node 2")
RESTART_SECONDS = {"node": 3.0, "MLflow": 12.0}  # between the kill of a service and its restart


class Services:
    """Ray's nodes and the MLflow server, each of which can be killed and restarted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._due: dict[str, float] = {}
        ray_port, mlflow_port = free_port(), free_port()
        self.address, self.tracking_uri = f"127.0.0.1:{ray_port}", f"http://127.0.0.1:{mlflow_port}"
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        ray += ["--node-ip-address=127.0.0.1"]
        node = [*ray, f"--address={self.address}", "--num-cpus=1"]
        mlflow = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow_port)]
        mlflow += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        self._commands = {
            "head": [*ray, "--head", f"--port={ray_port}", "--num-cpus=0", "--include-dashboard=false"],
            "node 1": node,
            "node 2": node,
            "MLflow": [*mlflow, "--artifacts-destination", str(folder / "artifacts")],
        }

    def start(self) -> None:
        """Start all services and wait until they answer."""
        self._start("MLflow")
        self.start_cluster()
        self.wait_for_mlflow()

    def start_cluster(self) -> None:
        """Start Ray's nodes, the head first, if they have not been started or have been killed together."""
        count = (
            f"import ray; ray.init('{self.address}', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        )
        for count_alive, name in enumerate(NODES, start=1):
            if name not in self._processes:
                self._start(name)
                wait_until(partial(run_prints, [sys.executable, "-c", count], str(count_alive)), f"Ray's {name}")

    def kill_cluster(self) -> bool:
        """Kill all of Ray's nodes at once and return True, if they run; only `start_cluster` restarts them."""
        if "head" not in self._processes:
            return False
        for name in reversed(NODES):
            self._due.pop(name, None)
            end(self._processes.pop(name))
        return True

    def wait_for_mlflow(self) -> None:
        """Restart what was killed, and wait until the MLflow server answers."""
        self.restart_due(at_once=True)
        wait_until(lambda: answers(self.tracking_uri), "the MLflow server")

    def _start(self, name: str) -> None:
        self._processes[name] = start(self._commands[name], self._folder / f"{name}.log")

    def kill(self, name: str) -> None:
        """Kill a service with all its processes; `restart_due` restarts it later."""
        end(self._processes[name])
        self._due[name] = time.monotonic() + RESTART_SECONDS[name.split()[0]]

    def restart_due(self, at_once: bool = False) -> None:
        """Restart the killed services whose time has come, or all of them at once."""
        for name, due in list(self._due.items()):
            if at_once or time.monotonic() > due:
                del self._due[name]
                self._start(name)

    def is_running(self, name: str) -> bool:
        """Return whether a service was started and does not wait for its restart."""
        return name in self._processes and name not in self._due

    def workers(self) -> list[psutil.Process]:
        """Return the processes of the worker nodes that run a trial."""
        found = []
        for name in filter(self.is_running, NODES[1:]):
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(self._processes[name].pid).children(recursive=True)
                found += [child for child in children if is_trial(child)]
        return found

    def end(self) -> None:
        """Kill all services."""
        for process in self._processes.values():
            end(process)


class Killer:
    """Kills one kind of process after another, each kind once in a cycle of random order."""

    def __init__(self, draw: random.Random, services: Services, every: float) -> None:
        self._draw, self._services, self._every = draw, services, every
        self._ways: dict[str, Callable[[subprocess.Popen[bytes], Path], bool]] = {
            "trial": lambda driver, storage: self._kill_one(services.workers()),
            "lock holder": lambda driver, storage: self._kill_one([p for p in services.workers() if holds(p, storage)]),
            "node": lambda driver, storage: self._kill_service(self._draw.choice(NODES[1:])),
            "MLflow": lambda driver, storage: self._kill_service("MLflow"),
            "driver": lambda driver, storage: self._kill_driver(driver),
            "cluster": lambda driver, storage: services.kill_cluster(),
        }
        self._next, self._queue = 0.0, list[str]()
        self.killed: Counter[str] = Counter()

    def tick(self, driver: subprocess.Popen[bytes], storage: Path) -> None:
        """Kill a process if it is time; a kind that has no process now is tried again later."""
        if time.monotonic() < self._next:
            return
        if not self._queue:
            self._queue = self._draw.sample(sorted(self._ways), len(self._ways))
        for kind in self._queue:
            with suppress(psutil.NoSuchProcess):
                if self._ways[kind](driver, storage):
                    self._queue.remove(kind)
                    self.killed[kind] += 1
                    print(f"killed: {kind}", flush=True)
                    break
        self._next = time.monotonic() + self._draw.uniform(0.5, 1.5) * self._every

    def _kill_one(self, processes: list[psutil.Process]) -> bool:
        if processes:
            self._draw.choice(processes).kill()
        return bool(processes)

    def _kill_service(self, name: str) -> bool:
        running = self._services.is_running(name)
        if running:
            self._services.kill(name)
        return running

    def _kill_driver(self, driver: subprocess.Popen[bytes]) -> bool:
        kill_tree(psutil.Process(driver.pid))
        return True


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment() | TOKEN, stdout=stream, stderr=stream, start_new_session=True
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that this script has started and all its descendants, and wait for its end."""
    with suppress(psutil.NoSuchProcess):
        kill_tree(psutil.Process(process.pid))
    process.wait()


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and all its descendants."""
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()


def is_trial(process: psutil.Process) -> bool:
    """Return whether a process of Ray runs a trial, according to its title from Ray."""
    with suppress(psutil.NoSuchProcess):
        title = " ".join(process.cmdline()[:1])
        return title.startswith("ray::") and ("TuneTrial" in title or "Trainable" in title)
    return False


def holds(process: psutil.Process, storage: Path) -> bool:
    """Return whether a process has the lock of a cache open."""
    cache = str(storage.resolve() / "cache")
    with suppress(psutil.NoSuchProcess):
        return any(file.path.startswith(cache) and file.path.endswith("lock") for file in process.open_files())
    return False


def answers(uri: str) -> bool:
    """Return whether the MLflow server answers."""
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def run_prints(command: list[str], text: str) -> bool:
    done = subprocess.run(command, env=environment() | TOKEN, capture_output=True, text=True, check=False)
    return done.stdout.strip() == text


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not answer within {seconds:.0f} s")
        time.sleep(0.3)


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])
