"""Runs Ray's launcher, which does its work over SSH, and explains its errors.

It runs in processes of its own, because it prints and exits as it likes.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from search.wording import last_line
from trainable.errors import ConfigError

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What the launcher and SSH write around the output of a command.
_NOISE = re.compile(r"(?m)^\s*(\d{4}-\d\d-\d\d .*|Shared connection to .*|Error: Command failed:.*|ssh -tt .*)$")


def launch(file: Path, command: str, *arguments: str) -> str:
    """Run a command of `ray` on a cluster file; return its output, among messages of Ray.

    Raises:
        ConfigError: if it fails.
    """
    ray = str(Path(sys.executable).parent / "ray")
    done = subprocess.run(
        [ray, command, str(file), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environment(),
        check=False,
    )
    if done.returncode:
        raise failure(file, shlex.join([command, *arguments]), done.stdout)
    return done.stdout


def failure(file: Path, what: str, output: str) -> ConfigError:
    """Return the error that names what has failed, and the last line that the command has written as its reason."""
    reason = last_line(_NOISE.sub("", _COLOUR.sub("", output))) or "it says no reason"
    return ConfigError(f"--cluster {file}: {what} failed: {reason}; is the cluster up? See `ray up`")


def environment() -> dict[str, str]:
    """Return the variables of a process that runs the launcher."""
    return os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
