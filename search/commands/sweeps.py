"""Commands that plan, run and continue sweeps."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.commands.options import (
    Address,
    AsJson,
    Experiment,
    Set,
    Storage,
    SweepName,
    pairs,
    print_result,
    readable_errors,
)
from search.startup.dry_run_process import DryRunProcess


def run(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep and print the winner."""
    with readable_errors():
        from search.engine.start import start_sweep
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), pairs(set_))
        print_result(start_sweep(plan, storage, address, DryRunProcess if address is None else None), as_json)


def doctor(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Check all that a sweep needs, including one batch of its most expensive settings; run no trial."""
    with readable_errors():
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), pairs(set_))
        from search.preflight.doctor import examine, print_checks, to_json  # imports Ray: only for a valid plan

        checks = examine(plan, storage, address)
        print(to_json(checks)) if as_json else print_checks(checks, Console())
        if any(check.state == "error" for check in checks):
            raise typer.Exit(2)


def rank(
    experiment: Experiment,
    storage: Storage = Path("runs"),
    source_rows: Annotated[int, typer.Option(min=2, help="Most training rows of a source, for one epoch.")] = 2000,
    target_rows: Annotated[int, typer.Option(min=3, help="Most rows of the target to encode.")] = 1000,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Rank the sources and encoders of an experiment by the features that they give the target; run no trial."""
    with readable_errors():
        from search.plan.plan import find_experiment, load_plan

        plan = load_plan(find_experiment(experiment), pairs(set_))
        from search.ranking.rank import rank_experiment  # imports torch: only for a valid plan
        from search.show.ranking_table import print_ranking
        from trainable.ranking.effort import Effort

        ranking = rank_experiment(plan, storage, Effort(source_rows, target_rows))
        print(ranking.to_json()) if as_json else print_ranking(ranking, Console())


def resume(
    name: SweepName,
    storage: Storage = Path("runs"),
    address: Address = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Continue an interrupted sweep, or give a finished one a larger budget (--set sweep.trials=40)."""
    with readable_errors():
        from search.engine.start import resume_sweep

        print_result(resume_sweep(name, storage, address, pairs(set_)), as_json)


def extend(
    name: SweepName,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials to add to sweep.trials.")],
    storage: Storage = Path("runs"),
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Continue a finished or interrupted sweep with more trials; the sampler uses all earlier ones."""
    with readable_errors():
        from search.engine.start import extend_sweep

        print_result(extend_sweep(name, storage, trials, address), as_json)
