"""What `faults.py` kills, and how: the processes that a sweep needs, each of which can die and come back."""

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
AWAY = {"node": 3.0, "MLflow": 12.0}  # seconds until what was killed comes back


class Parts:
    """The processes that a sweep needs, each of which can die and come back."""

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
        """All of them, until they answer."""
        self._start("MLflow")
        self.start_cluster()
        self.wait_for_mlflow()

    def start_cluster(self) -> None:
        """Ray's nodes, the head first, where they have not been started or have been killed together."""
        count = (
            f"import ray; ray.init('{self.address}', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        )
        for there, name in enumerate(NODES, start=1):
            if name not in self._processes:
                self._start(name)
                wait_until(partial(run_prints, [sys.executable, "-c", count], str(there)), f"Ray's {name}")

    def kill_cluster(self) -> bool:
        """End all of Ray's nodes at once, if they are there; only `start_cluster` brings them back."""
        if "head" not in self._processes:
            return False
        for name in reversed(NODES):
            self._due.pop(name, None)
            end(self._processes.pop(name))
        return True

    def wait_for_mlflow(self) -> None:
        """Until the server is there."""
        self.bring_back(True)
        wait_until(lambda: answers(self.tracking_uri), "the MLflow server")

    def _start(self, name: str) -> None:
        self._processes[name] = start(self._commands[name], self._folder / f"{name}.log")

    def kill(self, name: str) -> None:
        """End it with all that it has started; it comes back when it is time."""
        end(self._processes[name])
        self._due[name] = time.monotonic() + AWAY[name.split()[0]]

    def bring_back(self, at_once: bool = False) -> None:
        """Start again what was away long enough."""
        for name, due in list(self._due.items()):
            if at_once or time.monotonic() > due:
                del self._due[name]
                self._start(name)

    def there(self, name: str) -> bool:
        """Whether it is not away."""
        return name in self._processes and name not in self._due

    def workers(self) -> list[psutil.Process]:
        """Processes of the worker nodes that run a trial."""
        found = []
        for name in filter(self.there, NODES[1:]):
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(self._processes[name].pid).children(recursive=True)
                found += [child for child in children if is_trial(child)]
        return found

    def end(self) -> None:
        """Everything that runs."""
        for process in self._processes.values():
            end(process)


class Killer:
    """Kills one after another, in cycles of a random order."""

    def __init__(self, draw: random.Random, parts: Parts, every: float) -> None:
        self._draw, self._parts, self._every = draw, parts, every
        self._ways: dict[str, Callable[[subprocess.Popen[bytes], Path], bool]] = {
            "trial": lambda driver, storage: self._kill_one(parts.workers()),
            "lock holder": lambda driver, storage: self._kill_one([p for p in parts.workers() if holds(p, storage)]),
            "node": lambda driver, storage: self._kill_part(self._draw.choice(NODES[1:])),
            "MLflow": lambda driver, storage: self._kill_part("MLflow"),
            "driver": lambda driver, storage: self._kill_driver(driver),
            "cluster": lambda driver, storage: parts.kill_cluster(),
        }
        self._next, self._queue = 0.0, list[str]()
        self.killed: Counter[str] = Counter()

    def tick(self, driver: subprocess.Popen[bytes], storage: Path) -> None:
        """Kill somebody if it is time; who is not there now comes later."""
        if time.monotonic() < self._next:
            return
        if not self._queue:
            self._queue = self._draw.sample(sorted(self._ways), len(self._ways))
        for who in self._queue:
            with suppress(psutil.NoSuchProcess):
                if self._ways[who](driver, storage):
                    self._queue.remove(who)
                    self.killed[who] += 1
                    print(f"killed: {who}", flush=True)
                    break
        self._next = time.monotonic() + self._draw.uniform(0.5, 1.5) * self._every

    def _kill_one(self, processes: list[psutil.Process]) -> bool:
        if processes:
            self._draw.choice(processes).kill()
        return bool(processes)

    def _kill_part(self, name: str) -> bool:
        there = self._parts.there(name)
        if there:
            self._parts.kill(name)
        return there

    def _kill_driver(self, driver: subprocess.Popen[bytes]) -> bool:
        kill_tree(psutil.Process(driver.pid))
        return True


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment() | TOKEN, stdout=stream, stderr=stream, start_new_session=True
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """A process of ours and all that it has started, and wait for its end."""
    with suppress(psutil.NoSuchProcess):
        kill_tree(psutil.Process(process.pid))
    process.wait()


def kill_tree(process: psutil.Process) -> None:
    """A process and all that it has started, at once."""
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            one.kill()


def is_trial(process: psutil.Process) -> bool:
    """Whether a process of Ray runs a trial, by the title that Ray has given it."""
    with suppress(psutil.NoSuchProcess):
        title = " ".join(process.cmdline()[:1])
        return title.startswith("ray::") and ("TuneTrial" in title or "Trainable" in title)
    return False


def holds(process: psutil.Process, storage: Path) -> bool:
    """Whether a process has the lock of a cache open."""
    cache = str(storage.resolve() / "cache")
    with suppress(psutil.NoSuchProcess):
        return any(file.path.startswith(cache) and file.path.endswith("lock") for file in process.open_files())
    return False


def answers(uri: str) -> bool:
    """Whether the MLflow server is there."""
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
            raise SystemExit(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
