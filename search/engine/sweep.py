"""The sweep itself: folder, Ray, Tune, and what remains at the end. Read `run_sweep` first."""

import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.stopper import CombinedStopper
from rich.console import Console

from search.cluster import connection
from search.cluster.ray_internals import HEAD_ONLY, no_snapshot_for_checkpoints, take_waiting_processes
from search.cluster.room import Capacity, capacity_for
from search.engine.budget import Budget, BudgetStopper
from search.engine.collapse import Collapse
from search.engine.disk import DiskWatch, full_disk_in_words, remove_unneeded
from search.engine.events import SweepEvents
from search.engine.finish import ALL_LOST, finish, write_down
from search.engine.halt import Halt, on_signals
from search.engine.hang import HangWatch
from search.engine.promotion import PausedWithCheckpoint, Promotion
from search.engine.ray_watch import HEAD_SECONDS, death_in_words
from search.engine.retries import RETRIES, Retries
from search.engine.schedulers import build_scheduler
from search.engine.searcher import TruthfulSearcher
from search.engine.trial_runs import TrialRuns
from search.errors import HaltError
from search.plan.data import data_check
from search.plan.data_use import DataUse
from search.plan.plan import Plan
from search.preflight import preflight
from search.preflight.rehearsal_process import RehearsalProcess
from search.propose.start_from import take_over
from search.record.records import Outcome, State
from search.record.trial_names import trial_name
from search.redaction import redact
from search.redirect_output import to_file
from search.show.view import LiveView
from search.storage.sqlite_lock import locked_study_in_words
from search.storage.sweep_folder import Place, change_facts, load_facts
from search.study.foundations import note_versions
from search.study.ledger import START_FROM, Ledger
from search.study.phases import Phases
from search.study.summary import summarise
from search.tracking.mlflow_events import DatasetInfo, started
from search.tracking.open_tracker import opened_run
from search.tracking.replay import keep_sweep_start
from search.tracking.tracker import PATIENCE, Tracker, check_uri, provenance
from trainable.inputs.prepare import Prepared
from trainable.store.files import remove_leftovers
from trainable.workers.actor import TuneTrial
from trainable.workers.messages import Resources, key_of_task


def run_sweep(
    plan: Plan,
    place: Place,
    prepared: Mapping[DataUse, Prepared],
    address: str | None,
    process: RehearsalProcess | None = None,
) -> Outcome:
    """Search, confirm, choose, test and write it all down; what a former session did is taken as done."""
    settings = plan.settings
    remove_leftovers(place.storage)
    halt = Halt()
    with (
        full_disk_in_words(place.storage),
        locked_study_in_words(place.study, place.command("resume")),
        to_file(place.log, private=settings.has_secret) as console,
        ExitStack() as closing,
    ):
        ledger = Ledger(place.study, settings, plan.space, plan.base.get("seed", 0))
        if settings.start_from and ledger.noted(START_FROM) is None:
            ledger.note(START_FROM, take_over(plan, place.storage, prepared))
        note_versions(ledger)
        budget = Budget(settings, ledger)
        if opened_run(plan, place, ledger) is None:
            check_uri(plan.tracking_uri(place.storage))  # before Ray is started, which takes longer
        for said in data_check(prepared).sentences[1:]:
            console.print(said, markup=False, highlight=False, soft_wrap=True)
        try:
            connection.join(address, settings, lambda said: console.print(said, markup=False, soft_wrap=True))
            remove_unneeded(place, plan, ledger)
            with death_in_words(halt, HEAD_SECONDS if address else 0, place.command("resume")):
                capacity = capacity_for(settings)
                tracker = closing.enter_context(preflight.clear(plan, place, capacity, ledger, console, process))
                runs = TrialRuns(plan, ledger, tracker)
                ledger.note("run_id", _open_run(tracker, plan, ledger, prepared))
                ledger.note("slots", capacity.slots)
                change_facts(place, plan.to_mapping())
                phases = Phases(ledger)
                with phases.phase("search"):
                    take_waiting_processes(inherits=address is None)
                    no_snapshot_for_checkpoints()
                    _search(plan, place, ledger, budget, runs, halt, capacity, console)
        finally:
            if halt.problem or any(record.state is State.LOST for record in ledger.records):
                connection.keep_logs(place.ray_logs)
            connection.leave()
        remove_unneeded(place, plan, ledger)
        if halt.wanted:
            outcome = summarise(plan, place.storage, ledger)
        else:
            with phases.phase("finish"):
                outcome = finish(plan, place.storage, ledger, runs, tracker)
        outcome = replace(outcome, phases=phases.read())
        # Who interrupts a sweep does not want to wait, and a resume delivers what is left.
        outcome = write_down(outcome, place, tracker, PATIENCE / 10 if halt.wanted else PATIENCE)
        ledger.note("run_id", outcome.run_id)
    if halt.problem:
        raise HaltError(f"{halt.problem}, then `{place.command('resume')}`")
    if not halt.wanted and not outcome.complete:
        raise HaltError(ALL_LOST.format(logs=place.ray_logs, extend=place.command("extend", "--trials", "1")))
    return outcome


def _search(
    plan: Plan,
    place: Place,
    ledger: Ledger,
    budget: Budget,
    runs: TrialRuns,
    halt: Halt,
    capacity: Capacity,
    console: Console,
) -> None:
    """Let Tune run until nothing is left to do, or until a halt is wanted."""
    settings, slots, session = plan.settings, capacity.slots, f"tune-{uuid.uuid4().hex[:8]}"
    ledger.begin_session(session)
    words = _budget_in_words(plan)
    log = str(place.log)
    hint = f"Should this end before its time, whatever the cause: `{place.command('resume')}` goes on"
    console.print(hint, markup=False, highlight=False, soft_wrap=True)
    with LiveView(settings.name, settings.metric, settings.direction, words, console, log) as view:

        def show() -> None:
            view.update(ledger.records, budget.used(), budget.time_left(slots))

        ended, begun = ledger.history(TrialState.COMPLETE, TrialState.PRUNED), ledger.history(TrialState.RUNNING)
        scheduler = build_scheduler(settings.scheduler, settings.direction, ended, begun)
        tuner = tune.Tuner(
            _trainable(plan, place, capacity.gpus),
            tune_config=tune.TuneConfig(
                search_alg=TruthfulSearcher(plan, ledger, budget, slots, lambda: halt.wanted, scheduler),
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=settings.max_concurrent or (slots if settings.workers_per_trial > 1 else None),
                reuse_actors=True,
                trial_name_creator=lambda trial: trial_name(key_of_task(trial.config)),
                # What was paused goes on as another trial of Tune's.
                trial_dirname_creator=lambda trial: f"{trial_name(key_of_task(trial.config))}-{trial.trial_id}",
            ),
            run_config=tune.RunConfig(
                name=session,
                storage_path=str(place.folder.absolute()),
                callbacks=[
                    halt,
                    SweepEvents(ledger, runs, show),
                    Retries(),
                    Collapse(ledger, halt, slots),
                    HangWatch(ledger, settings.hang_minutes),
                    DiskWatch(plan, ledger, halt, place, slots),
                    *([PausedWithCheckpoint()] if isinstance(scheduler, Promotion) else []),
                ],
                stop=CombinedStopper(BudgetStopper(budget), halt),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False),
                verbose=0,
            ),
        )
        with on_signals(halt, console.print):
            try:
                tuner.fit()
            except KeyboardInterrupt:
                halt.ask()
            finally:
                budget.save()
                show()  # trials that waited may have ended last


def _trainable(plan: Plan, place: Place, gpus: float) -> Any:
    """The trainable with the resources of one trial."""
    settings = plan.settings
    workers = Resources(settings.workers_per_trial, settings.cpus_per_trial, gpus, settings.threads)
    known = frozenset(chain.from_iterable(load_facts(place).get("foundations", {}).values()))
    workspace = replace(plan.workspace(place.storage), allowed=known)
    bound = tune.with_parameters(TuneTrial, workspace=workspace, workers=workers)
    if settings.workers_per_trial > 1:
        # The worker group makes its own placement group; the actor that leads it costs nothing.
        return tune.with_resources(bound, tune.PlacementGroupFactory([HEAD_ONLY]))
    return tune.with_resources(bound, {"CPU": settings.cpus_per_trial, "GPU": gpus})


def _open_run(tracker: Tracker, plan: Plan, ledger: Ledger, prepared: Mapping[DataUse, Prepared]) -> str:
    """Open the sweep's MLflow run and return its id."""
    settings = plan.settings
    datasets = [
        DatasetInfo(
            name=made.name,
            fingerprint=made.fingerprint,
            context=use.stage,
            rows=sum(len(split.labels) for split in made.splits.values()),
            columns={"text": "string", "label": "string"},
        )
        for use, made in prepared.items()
    ]
    parameters = {f"sweep.{name}": value for name, value in settings.model_dump(mode="json").items()}
    parameters["sweep.tracking_uri"] = redact(tracker.uri)
    keep_sweep_start(ledger, started(None, parameters, provenance(), datasets))
    return tracker.start_sweep(parameters, datasets)


def _budget_in_words(plan: Plan) -> str:
    settings = plan.settings
    parts = [f"{settings.trials} trials"]
    parts += [f"{settings.minutes:g} minutes"] if settings.minutes else []
    parts += [f"{settings.worker_hours:g} worker-hours"] if settings.worker_hours else []
    return ", ".join(parts)
