"""What findings and a report are made of, read from a sweep's files."""

from __future__ import annotations

from dataclasses import dataclass

import optuna

from search.errors import PlanError
from search.plan.plan import Plan, load_sweep
from search.record.records import Outcome, TrialRecord
from search.storage.sweep_folder import SweepFolder
from search.study.study_file import StudyFile


@dataclass(frozen=True)
class Sweep:
    """One sweep, finished or not."""

    outcome: Outcome
    plan: Plan
    folder: SweepFolder
    study: optuna.Study
    """The trials of the search, as Optuna's plots read them."""

    @classmethod
    def open(cls, outcome: Outcome, folder: SweepFolder) -> Sweep:
        """Read the plan and the study of a sweep.

        Raises:
            PlanError: if there is no study, or it cannot be read.
        """
        if not folder.study.exists():  # opening it would create one
            raise PlanError([f"{folder.study}: no such file; bring the study back from a copy"])
        study = StudyFile(folder.study, folder.name, outcome.direction).search
        return cls(outcome, load_sweep(folder), folder, study)

    @property
    def metric(self) -> str:
        """Return the metric of the search."""
        return self.outcome.metric

    @property
    def spread(self) -> float | None:
        """Return the standard deviation over repeats, below which a difference means nothing; None if not known."""
        sd = self.outcome.validation.sd if self.outcome.validation else None
        return sd or None

    def cost(self, record: TrialRecord) -> float:
        """Return the score of a finished trial, negated if higher is better."""
        return self.outcome.direction.cost(record.value or 0.0)

    @property
    def finished(self) -> list[TrialRecord]:
        """Return the search trials that ran to their end and have a score."""
        return [r for r in self.outcome.searched if r.state == "finished" and r.value is not None]

    def finished_by(self, name: str) -> list[tuple[int, TrialRecord]]:
        """Return the finished trials with an integer setting, and its values."""
        found = [(record.params.get(name), record) for record in self.finished]
        return [(value, record) for value, record in found if isinstance(value, int)]
