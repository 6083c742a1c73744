"""Measure what a user has after 1, 3 and 10 minutes: with this project, and with what they would use instead of it.

Each contestant starts cold, in a process of its own, with the same labelled rows, the same encoder and the same number
of threads, on eleven pairs of tasks (`pairs.py`) and three draws of their rows. The script alone knows the labels of
the test rows. An answer counts at M minutes if its model was ready by then, or if its run was given M minutes and
ended within half as much again; a contestant that has ended keeps its score, and one without an answer scores 0.

    python benchmarks/instead.py --data DIR --results instead.jsonl            # everything: a day on two cores
    python benchmarks/instead.py --data DIR --results instead.jsonl --pairs banking-5 --contestants features ours
    python benchmarks/instead.py --results instead.jsonl --report              # the tables again; --picture FILE
    python benchmarks/instead.py --results small.jsonl --small                 # minutes; figures without a meaning

Finished runs in the results file are not repeated, so the same command continues after a stop; `--retry` repeats the
failed ones. A contestant that needs other packages gets an environment of its own below `--environments` when
`--install` is given (pip, about 2 GB each); without it, it is left out with a message.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from environments import ENVIRONMENTS, find_python
from pairs import PAIRS, SMALL, Pair
from runs import Run, Start, done_runs, run_contestant
from standing import draw_picture, report

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Contestant:
    """How to start a contestant."""

    script: str
    environment: str | None = None
    """A name of ENVIRONMENTS; None: the environment of this script."""
    budgeted: bool = False
    """Whether it is told its minutes, so that it runs once for each budget; others run once, for the largest."""
    needs_source: bool = False
    trivial: bool = False


CONTESTANTS = {
    "majority": Contestant("run_trivial", trivial=True),
    "tfidf": Contestant("run_trivial", trivial=True),
    "features": Contestant("run_trivial", trivial=True),
    "setfit": Contestant("run_setfit", "setfit", budgeted=True),
    "bertuner": Contestant("run_bertuner", "bertuner", budgeted=True),
    "autointent": Contestant("run_autointent", "autointent"),
    "trainer": Contestant("run_trainer"),
    "trainer-source": Contestant("run_trainer", needs_source=True),
    "search": Contestant("run_search"),
    "ours": Contestant("run_ours", budgeted=True),
}
SMALL_CONTESTANTS = ("majority", "tfidf", "features", "ours")


def main() -> None:
    given = arguments()
    pairs = SMALL if given.small else {name: PAIRS[name] for name in given.pairs}
    if not given.report:
        for pair, draw, name in product(pairs, given.draws, given.contestants):
            run_budgets(given, pair, pairs[pair], draw, name)
    trivial = [name for name, contestant in CONTESTANTS.items() if contestant.trivial]
    runs = [run for run in done_runs(given.results) if run.pair in pairs and run.contestant in given.contestants]
    report(runs, given.minutes, trivial)
    if given.picture:
        draw_picture(runs, given.minutes, given.picture)


def run_budgets(given: argparse.Namespace, name: str, pair: Pair, draw: int, contestant: str) -> None:
    """Run a contestant on a draw, once for each budget that could change its answer."""
    how = CONTESTANTS[contestant]
    if how.needs_source and not pair.source:
        return
    python = find_python(how.environment, given.environments, given.install)
    if python is None:
        print(f"{contestant}: left out, its environment does not exist; --install makes it", file=sys.stderr)
        return
    for minutes in given.minutes if how.budgeted else given.minutes[-1:]:
        done = [r for r in done_runs(given.results) if (r.pair, r.draw, r.contestant) == (name, draw, contestant)]
        if any(enough(run, minutes, given.retry) for run in done):
            continue
        with tempfile.TemporaryDirectory(prefix="instead-", ignore_cleanup_errors=True) as scratch:
            command = [str(python), str(ROOT / "benchmarks" / "contestants" / f"{how.script}.py")]
            start = Start(command, contestant, minutes, how.budgeted)
            run = run_contestant(start, name, pair, given.data.resolve(), draw, Path(scratch))
        print(run.summary(), flush=True)
        with given.results.open("a") as file:
            file.write(run.to_json() + "\n")


def enough(run: Run, minutes: float, retry: bool) -> bool:
    """Whether an earlier run makes one with this budget superfluous."""
    if run.error:
        return run.minutes == minutes and not retry
    return run.minutes == minutes or (run.minutes < minutes and run.ended)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TRANSFERSWEEP_BENCHMARK_DATA")
    parser.add_argument("--data", type=Path, default=data, help="folder with the data sets that pairs.py names")
    parser.add_argument("--results", type=Path, default=Path("instead.jsonl"), help="one line of JSON for each run")
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS)
    parser.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 3, 10])
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "transfersweep" / "instead")
    parser.add_argument("--install", action="store_true", help=f"make the environments of {', '.join(ENVIRONMENTS)}")
    parser.add_argument("--retry", action="store_true", help="repeat runs that failed")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--picture", type=Path, help="PNG or SVG of rank and regret over time")
    parser.add_argument("--small", action="store_true", help="one tiny pair and the cheap contestants")
    given = parser.parse_args()
    given.minutes = sorted(given.minutes)
    given.contestants = given.contestants or list(SMALL_CONTESTANTS if given.small else CONTESTANTS)
    if given.small:
        given.data = ROOT / "spaces" / "samples"
    elif given.data is None and not given.report:
        parser.error("--data is needed")
    return given


if __name__ == "__main__":
    main()
