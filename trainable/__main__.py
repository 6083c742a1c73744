"""One trial without Ray: `python -m trainable FILE [--set NAME=VALUE ...]`, to debug or to look."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import yaml

from trainable.config import build_config
from trainable.device import arithmetic, pick_device
from trainable.errors import ConfigError, TrialError
from trainable.progress import Report
from trainable.trial import run_trial
from trainable.workspace import Workspace


def main() -> int:
    """Run the trial block of an experiment file; prints reports as they come and the result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m trainable", description=__doc__)
    parser.add_argument("file", type=Path, help="an experiment file (its trial block is read), or a trial block alone")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="such as target.epochs=1")
    parser.add_argument("--cache", type=Path, help="keep tokens and source stages here (default: thrown away)")
    parser.add_argument("--save", type=Path, help="write the trained model, as a checkpoint, to this folder")
    arguments = parser.parse_args()
    try:
        with arguments.file.open(encoding="utf-8") as stream:  # from a stream, so that mistakes name the file
            block = yaml.safe_load(stream)
        if not isinstance(block, dict):
            raise ConfigError(f"{arguments.file}: holds no mapping")
        settings = {name: yaml.safe_load(value) for name, _, value in (s.partition("=") for s in arguments.set)}
        config = build_config(block.get("trial", block), settings)
        with tempfile.TemporaryDirectory() as scratch:
            roots = (arguments.file.parent, Path())
            workspace = Workspace(arguments.cache or Path(scratch), roots)
            if warning := arithmetic(config.precision, pick_device()).warning:
                print(warning, file=sys.stderr)
            result = run_trial(config, _print_report, workspace=workspace, save_to=arguments.save)
    except (ConfigError, TrialError, OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(json.dumps({"value": result.value, "metrics": result.metrics}, indent=1))
    return 0


def _print_report(report: Report) -> bool:
    scores = ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items())
    print(f"{report.stage} epoch {report.epoch:.2f}: {scores or 'training'}", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
