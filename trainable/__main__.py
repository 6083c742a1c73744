"""Runs one trial without Ray, to debug it: `python -m trainable FILE [--set NAME=VALUE ...]`.

With the same settings and seed, the result is the same as that of a trial in a sweep's search.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainable.errors import ConfigError, TrialError
from trainable.model.limits import resolve_encoder
from trainable.progress import Report
from trainable.settings.config import TrialConfig, build_config
from trainable.settings.mistake_messages import shown
from trainable.settings.stage import COMPARED_AT
from trainable.settings.yaml_file import load_yaml, parse_value
from trainable.trial import run_trial
from trainable.workspace import Workspace


def main() -> int:
    """Run the trial block of an experiment file; print each report at once, and the result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m trainable", description=__doc__)
    parser.add_argument("file", type=Path, help="an experiment file, or a trial block alone")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="such as target.epochs=1")
    parser.add_argument("--cache", type=Path, help="folder for tokens and source stages (default: a temporary one)")
    parser.add_argument("--save", type=Path, help="folder for a checkpoint with the trained model")
    arguments = parser.parse_args()
    try:
        blocks, roots = load_yaml(arguments.file), (arguments.file.parent, Path())
        sweep = _mapping(blocks, "sweep")
        config = _config(blocks, sweep, _settings(arguments.set), roots)
        torch.set_num_threads(_count(sweep, "cpus_per_trial"))  # the rounding of sums depends on the threads
        with tempfile.TemporaryDirectory() as scratch:
            workspace = Workspace(arguments.cache or Path(scratch), roots)
            result = run_trial(config, _print_report, workspace=workspace, save_to=arguments.save)
    except (ConfigError, TrialError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(json.dumps({"value": result.value, "metrics": result.metrics}, indent=1))
    return 0


def _config(
    blocks: Mapping[str, Any], sweep: Mapping[str, Any], settings: Mapping[str, Any], roots: tuple[Path, ...]
) -> TrialConfig:
    """Return the trial that a sweep would run with these settings."""
    base = {**(_mapping(blocks, "trial") if "trial" in blocks else blocks)}
    if "metric" in sweep:
        base["metric"] = sweep["metric"]
    config = build_config(base, settings)
    if sweep and sweep.get("scheduler") != "none" and "target.evaluate_at" not in settings:
        target = config.target.model_copy(update={"evaluate_at": COMPARED_AT})
        config = config.model_copy(update={"target": target})
    parts = max(config.micro_batches, _count(sweep, "workers_per_trial"))
    return config.model_copy(update={"encoder": resolve_encoder(config.encoder, roots), "micro_batches": parts})


def _mapping(blocks: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    block = blocks.get(name)
    if block is not None and not isinstance(block, Mapping):
        raise ConfigError(f"{name}: must be a mapping of settings, got {shown(block)}")
    return block or {}


def _count(sweep: Mapping[str, Any], name: str) -> int:
    """Return a count setting of the sweep as a whole number of at least 1; 1 if the file does not set it."""
    value = sweep.get(name, 1)
    if not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"sweep.{name}: must be a number above 0, got {shown(value)}")
    return max(1, int(value))


def _settings(assignments: list[str]) -> dict[str, Any]:
    settings = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: must be NAME=VALUE")
        settings[name.strip()] = parse_value(value, name.strip())
    return settings


def _print_report(report: Report) -> bool:
    scores = ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items())
    print(f"{report.stage} epoch {report.epoch:.2f}: {scores or 'training'}", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
