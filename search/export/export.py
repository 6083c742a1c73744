"""Writes a finished trial as a folder that other tools load, after a check that it gives the checkpoint's logits."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from search.engine.scoring import encoder_of
from search.export.card import CardFacts, model_card, public_experiment, public_settings
from search.export.exportable import Chosen
from search.export.facts import FolderFacts
from search.export.formats.about import FORMATS, Format
from search.export.formats.folders import folder_format
from search.export.preprocessor import preprocessor_for
from search.export.smaller.change import change_folder
from search.export.smaller.measure import ValidationRows
from search.export.smaller.wanted import wanted_changes
from search.export.verification import Verification, compared, sample_rows, verify_export
from search.record.scores import BASELINE_TITLES, Score, TestScore
from search.record.trial_names import Role
from search.storage.sweep_folder import SweepFolder, load_saved_plan
from search.study.selection import score_of
from search.study.trial_settings import trial_config
from trainable.answers.answer import Answers
from trainable.answers.registry import ANSWERS
from trainable.baselines.regression import outputs_of
from trainable.baselines.results import config_of, label_names_of
from trainable.baselines.text_models import LabelledTexts, load_text_model, save_text_model
from trainable.checkpoint import load_trained
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.model.spans import InSpans
from trainable.settings.config import TrialConfig
from trainable.stages.trained_on import StageData, trained_on
from trainable.store.checksums import verify_checksums
from trainable.store.files import write_folder
from trainable.workspace import Workspace


@dataclass(frozen=True)
class Exported:
    """The exported model, and its comparison with the checkpoint."""

    name: str
    folder: Path
    format: Format
    trial: int | None
    """None for a baseline."""
    baseline: str | None
    """Name of the baseline; None for a trial."""
    seed: int
    pairs: bool
    """Whether the model reads pairs of texts."""
    answers: Answers
    """What its outputs mean."""
    verification: Verification
    bytes: int
    metric: str
    validation: Score | None
    """Over the seeds of the trial's settings."""
    test: TestScore | None
    """Only for the sweep's winner; no other trial is scored on the test split."""

    def to_json(self) -> dict[str, Any]:
        """Return the content as values that `json.dumps` accepts."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "format": self.format,
            "trial": self.trial,
            "baseline": self.baseline,
            "seed": self.seed,
            "rows": self.verification.rows,
            "what": self.verification.description,
            "max_difference": self.verification.max_difference,
            "changes": [asdict(change) for change in self.verification.changes],
            "bytes": self.bytes,
            "metric": self.metric,
            "validation": asdict(self.validation) if self.validation else None,
            "test": asdict(self.test) if self.test else None,
        }

    def usage(self) -> list[str]:
        """Return lines of Python that use the folder."""
        return FORMATS[self.format].usage(str(self.folder), self.pairs, self.answers)

    def print(self, console: Console) -> None:
        """Say what was written and verified, and what to type to use it."""
        size, verified = f"{self.bytes / 1e6:.1f} MB", self.verification
        baseline = self.baseline and f"Baseline {BASELINE_TITLES[self.baseline]}"
        model = baseline or f"Trial {self.trial}, seed {self.seed}"
        lines = [
            f"{model}, of {self.name} exported to {self.folder} (format {self.format}, {size})",
            f"Verified: loaded back, it gives the checkpoint's {self.answers.outputs} on {verified.rows} "
            f"{verified.description} "
            f"(largest difference {verified.max_difference:.1e}, allowed {verified.allowed:.0e})",
            *(sentence for change in verified.changes for sentence in change.sentences()),
            "",
            "In Python",
            *(f"  {line}" for line in self.usage() if line),
            "",
            "On a file",
            f"  transfersweep predict {shlex.quote(str(self.folder))} FILE.csv",
        ]
        for line in lines:
            # Never wrapped, so that a user can copy the line.
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def export_trial(chosen: Chosen) -> Exported:
    """Write the model of a finished trial, or of the baseline that won, to a new folder.

    The folder appears complete and verified, or not at all.

    Args:
        chosen: the trial and the folder, as `choose` finds them.

    Raises:
        ConfigError: if its data can no longer be read.
        TrialError: if the format cannot hold the model, or the folder does not give the checkpoint's logits.
    """
    transformers_logging.disable_progress_bar()
    if chosen.format == "skops":
        return _export_text_model(chosen)
    outcome = chosen.outcome
    workspace = chosen.plan.workspace(chosen.storage)
    model, config = load_trained(chosen.checkpoint, _encoder(chosen))
    if isinstance(model, InSpans):  # transformers' configurations know neither
        model.config.window_stride, model.config.no_answer_threshold = config.target.stride, model.threshold
    preprocessor = preprocessor_for(model, config)
    known = load_saved_plan(SweepFolder(chosen.storage, outcome.name))["data"]
    stages = _stages(config, chosen.checkpoint, workspace, known)
    rows = sample_rows(config, stages["target"], workspace)
    assert model.config.id2label is not None  # `load_trained` sets it
    facts = _card_facts(chosen, config, model.config.id2label.values(), stages)

    def save_and_verify(folder: Path) -> Verification:
        save_model(chosen.format, model, preprocessor, folder)
        return verify_export(folder, chosen.format, model, rows, facts.answers)

    def save_smaller(folder: Path) -> Verification:
        verification = save_and_verify(folder)
        validation = ValidationRows.of(config, workspace, outcome.metric)
        changes = wanted_changes(chosen.smaller, model, validation, save_and_verify)
        read = FolderFacts.model_validate(facts.to_json())
        changed = change_folder(folder, changes, read, validation, chosen.smaller.most_loss)
        return replace(verification, changes=changed)

    wanted = chosen.smaller.prune or chosen.smaller.int8
    return _write(chosen, facts, save_smaller if wanted else save_and_verify)


def _export_text_model(chosen: Chosen) -> Exported:
    """Write the model of a baseline that reads words."""
    verify_checksums(chosen.checkpoint)
    config, trained = config_of(chosen.checkpoint), trained_on(chosen.checkpoint)
    assert trained is not None  # the first version with baselines stores it
    model, names = load_text_model(chosen.checkpoint), label_names_of(chosen.checkpoint)
    table = sample_rows(config, trained.stages["target"], chosen.plan.workspace(chosen.storage))
    facts = _card_facts(chosen, config, names, trained.stages)

    def save_and_verify(folder: Path) -> Verification:
        save_text_model(model, folder)
        texts = LabelledTexts.of(table.table, names).texts
        expected, found = (outputs_of(each, texts, names) for each in (model, load_text_model(folder)))
        return compared(expected, found, table.description)

    return _write(chosen, facts, save_and_verify)


def _write(chosen: Chosen, facts: CardFacts, save_and_verify: Callable[[Path], Verification]) -> Exported:
    """Write the folder of an export: the model, its facts and its card.

    Args:
        chosen: what is exported, and where.
        facts: for the card and trial.json.
        save_and_verify: writes the model into a folder, and compares what the folder gives with the checkpoint.
    """
    record, to, verifications = chosen.record, chosen.to, list[Verification]()

    def write(folder: Path) -> None:
        verifications.append(save_and_verify(folder))
        (folder / "trial.json").write_text(json.dumps(facts.to_json(), indent=1), encoding="utf-8")
        (folder / "experiment.yaml").write_text(facts.experiment, encoding="utf-8")
        (folder / "README.md").write_text(model_card(facts, verifications[0]), encoding="utf-8")

    write_folder(to.resolve(), write)
    return Exported(
        name=chosen.outcome.name,
        folder=to,
        format=chosen.format,
        trial=None if chosen.baseline else record.number,
        baseline=chosen.baseline.name if chosen.baseline else None,
        seed=record.seed,
        pairs=len(facts.text_columns) > 1,
        answers=facts.answers,
        verification=verifications[0],
        bytes=sum(file.stat().st_size for file in to.rglob("*") if file.is_file()),
        metric=chosen.outcome.metric,
        validation=facts.validation,
        test=facts.test,
    )


def _encoder(chosen: Chosen) -> str | None:
    """Return the present path or name of the encoder."""
    if chosen.baseline:
        return encoder_of(chosen.plan, chosen.checkpoint)
    return trial_config(chosen.plan, chosen.record).encoder


def save_model(format: Format, model: PreTrainedModel, preprocessor: Any, folder: Path) -> None:
    """Write weights, configuration, and tokenizer or image processor.

    Everyone who may read the configuration may read the weights.
    """
    folder_format(format).save(model, preprocessor, folder)
    for file in folder.rglob("*.safetensors"):  # transformers makes them readable for their owner only
        file.chmod((folder / "config.json").stat().st_mode)


def _stages(
    config: TrialConfig, checkpoint: Path, workspace: Workspace, known: Mapping[str, str]
) -> Mapping[str, StageData]:
    """Return the data that a trial was trained on, by stage.

    Raises:
        ConfigError: if the checkpoint, of an older version, does not say, and the data have changed since.
    """
    if trained := trained_on(checkpoint):
        return trained.stages
    stages = {n: StageData.of(tokenized_dataset_of(config, stage, workspace)) for n, stage in config.stages().items()}
    if not {stage.fingerprint for stage in stages.values()} <= set(known.values()):
        raise ConfigError(
            "the data or their tokenizer have changed since the sweep began, or this version reads them differently. "
            "This trial's checkpoint is of an older version and does not say what it was trained on. Bring the old "
            "data back, or export with the version that began the sweep"
        )
    return stages


def _card_facts(chosen: Chosen, config: TrialConfig, labels: Iterable[str], data: Mapping[str, StageData]) -> CardFacts:
    """Return all facts for the card and trial.json."""
    outcome, record = chosen.outcome, chosen.record
    role: Role = "no_source" if record.role == "no_source" else "confirm"
    return CardFacts(
        outcome=outcome,
        record=record,
        format=chosen.format,
        encoder=config.encoder,
        settings=public_settings(config, data),
        labels=ANSWERS[config.dataset_of(config.target).task].public_names(tuple(labels)),
        text_columns=data["target"].text_columns,
        data=data,
        validation=outcome.validation if chosen.baseline else score_of(outcome.trials, record.number, role),
        test=outcome.test if chosen.baseline or record.key == outcome.exported else None,
        baseline=chosen.baseline,
        on_hub=config.dataset_of(config.target).hub is not None,
        experiment=public_experiment(chosen.plan.to_mapping()),
        moved=trained.moved if (trained := trained_on(chosen.checkpoint)) else None,
    )
