"""What happens if a call to a dead Ray never returns. Real deaths are in tests/search/engine/test_sweep.py."""

import subprocess
import sys

import pytest

BLOCKED = """
import signal, time
from search.engine.watch import ray_watch
from search.engine.watch.stop_request import StopRequest

ray_watch.ray_addresses = lambda: ("/no/raylet", "127.0.0.1:1")
ray_watch.CHECK_SECONDS = ray_watch.END_SECONDS = 0.1
signal.signal(signal.SIGINT, signal.SIG_IGN)  # a call into Ray's C++ code does not notice it either
with ray_watch.stop_if_ray_dies(StopRequest(), 0, "go on", print):
    time.sleep(60)
    print("the block has ended")
"""


@pytest.mark.slow
def test_a_blocked_process_exits_with_the_reason() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    assert "(raylet) has died" in done.stdout
    assert "the block has ended" not in done.stdout
    assert done.stdout.endswith(", then `go on`\n")
