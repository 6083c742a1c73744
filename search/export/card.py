"""The model card of an export: what the model is, what it was trained on and how, and how well it does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from search.export.formats.about import FORMATS, Format
from search.export.licence import Licence, licence_of
from search.export.verification import Verification
from search.provenance import provenance
from search.record.records import Outcome, TrialRecord
from search.record.scores import Baseline, Score, TestScore
from search.study.trial_settings import CUT
from search.wording import format_score
from trainable.answers.answer import Answers
from trainable.answers.registry import answers_of
from trainable.data.message_text import quoted_if_unclear
from trainable.metrics.metric import HUB_NAMES
from trainable.model.limits import PACKAGE
from trainable.settings.config import TrialConfig
from trainable.settings.stage import AUTO_THRESHOLD
from trainable.stages.trained_on import Moved, StageData
from trainable.tasks.threshold import fixed_cut, probability_of

_PLACES = {"csv", "json_", "parquet", "conll", "folder", "hub", "train", "validation", "test"}


@dataclass(frozen=True)
class CardFacts:
    """What the card and the export's trial.json say. It may be published: it holds no paths and no addresses."""

    outcome: Outcome
    record: TrialRecord
    format: Format
    encoder: str
    """As the experiment names it; only its public form is written."""
    settings: dict[str, Any]
    """Every setting by dotted name, see `public_settings`."""
    labels: tuple[str, ...]
    text_columns: tuple[str, ...]
    data: Mapping[str, StageData]
    """By stage, in the order of training."""
    validation: Score | None
    test: TestScore | None
    moved: Moved | None = None
    """What the target's model began with; None for a model without an encoder, and of older versions."""
    baseline: Baseline | None = None
    """The baseline whose model it is; None for a trial."""
    on_hub: bool = False
    """Whether the target's data set is one of the hub."""
    experiment: str = ""
    """The experiment as YAML, see `public_experiment`."""
    provenance: dict[str, str] = field(default_factory=provenance)
    """Versions, and the git commit of the working directory where it has one."""

    @property
    def answers(self) -> Answers:
        """Return what the outputs of the model mean."""
        dataset = self.settings.get("target.dataset", {})
        task, separator = dataset.get("task", "classification"), dataset.get("label_separator")
        return answers_of(task, self.labels, separator, dataset.get("choices"))

    @property
    def rows(self) -> str:
        """Return what the model reads: `texts`, `pairs of texts` or `images`."""
        return "pairs of texts" if len(self.text_columns) > 1 else f"{self.answers.content}s"

    @property
    def note(self) -> str:
        """Return what to know about the inputs of the model."""
        return self.answers.note or FORMATS[self.format].note

    @property
    def reads_words(self) -> bool:
        """Return whether the model has no encoder."""
        return self.format == "skops"

    @property
    def trained_on_all_rows(self) -> bool:
        """Return whether the model was trained on the validation rows, too."""
        return self.settings.get("target.fold", 0) is None

    @property
    def threshold(self) -> float | None:
        """Return the probability that became 0.5 in the output layer; None if that is 0.5 itself."""
        cut = self.record.metrics.get(CUT, fixed_cut(self.settings.get("target.threshold", AUTO_THRESHOLD)))
        return probability_of(cut) if cut else None

    def to_json(self) -> dict[str, Any]:
        """Return the content of trial.json; `settings` is what `TrialConfig.to_flat` gives, made public."""
        return {
            "format": self.format,
            "sweep": self.outcome.name,
            "trial": None if self.baseline else self.record.number,
            "baseline": self.baseline.name if self.baseline else None,
            "seed": self.record.seed,
            "settings": self.settings,
            "label_names": list(self.labels),
            "text_columns": list(self.text_columns),
            "metrics": self.record.metrics,
            "run_id": self.outcome.run_id,
            "provenance": self.provenance,
        }


def public_settings(config: TrialConfig, data: Mapping[str, StageData]) -> dict[str, Any]:
    """Return the trial's flat settings; encoder and data sets by their names, data sets with their fingerprints."""
    flat = {**config.to_flat(), "encoder": public_encoder(config.encoder)}
    for name, stage in config.stages().items():
        if name in data:
            how = config.dataset_of(stage).model_dump(mode="json", exclude=_PLACES)
            flat[f"{name}.dataset"] = {"name": data[name].name, "fingerprint": data[name].fingerprint} | how
    return flat


def public_experiment(blocks: Mapping[str, Any]) -> str:
    """Return the blocks of an experiment as YAML: files and encoders by their names, without folders and addresses."""
    shown = {name: _public(blocks[name]) for name in ("sweep", "trial", "space")}
    shown["sweep"].pop("tracking_uri", None)
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)


def _public(value: Any, name: str = "") -> Any:
    """Return a part of an experiment; `name` is the setting that it belongs to."""
    if isinstance(value, Mapping):
        return {key: _public(part, name if name == "encoder" else key) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_public(part, name) for part in value]
    if isinstance(value, str) and name == "encoder":
        return public_encoder(value)
    return Path(value).name if isinstance(value, str) and name in _PLACES - {"hub"} else value


def public_encoder(encoder: str) -> str:
    """Return a hub or package name as it is, and of a folder its last part, even if it no longer exists."""
    is_name = encoder.count("/") < 2 and not encoder.startswith((".", "/", "~")) and not Path(encoder).is_dir()
    return encoder if is_name else Path(encoder).resolve().name


def model_card(facts: CardFacts, verification: Verification) -> str:
    """Return the card in Markdown, with the front matter that the Hugging Face hub reads."""
    outcome, split = facts.outcome, "target.validation."
    scores = facts.record.metrics.items()
    return _TEMPLATES.get_template("model_card.md.j2").render(
        facts=facts,
        outcome=outcome,
        record=facts.record,
        validation=facts.validation,
        test=facts.test,
        verification=verification,
        front_matter=_front_matter(facts, verification).to_yaml(),
        encoder=public_encoder(facts.encoder),
        licence=_licence(facts),
        about=FORMATS[facts.format],
        usage=FORMATS[facts.format].usage("path/to/this/folder", len(facts.text_columns) > 1, facts.answers),
        own_scores={name.removeprefix(split): of for name, of in scores if name.startswith(split) and name != CUT},
    )


def _front_matter(facts: CardFacts, verification: Verification) -> ModelCardData:
    metric, library = facts.outcome.metric, FORMATS[facts.format].library
    task, tags = facts.answers.hub_task, facts.answers.tags
    target = facts.data["target"].name
    # The hub takes the type for the name of one of its data sets; a file that is called `reviews` is not that one.
    kind = target if facts.on_hub else "unknown"
    split, scores = _own_scores(facts, verification)
    results = [
        EvalResult(
            task_type=task,
            dataset_type=kind,
            dataset_name=target,
            dataset_split=split,
            metric_type=HUB_NAMES[name],
            metric_name=name,
            metric_value=value,
        )
        for name, value in scores.items()
        if name in HUB_NAMES
    ]
    return ModelCardData(
        library_name=library,
        pipeline_tag=task,
        tags=["transfersweep", task, *tags, "transfer-learning"],
        metrics=[HUB_NAMES[metric]],
        base_model=None if facts.reads_words else _base_model(facts.encoder),
        model_name=facts.outcome.name if results else None,
        eval_results=results or None,
    )


def _own_scores(facts: CardFacts, verification: Verification) -> tuple[str, Mapping[str, float]]:
    """Return the scores of the model in the folder, and their split. One that was made smaller has no test score."""
    if verification.changes:
        return "validation", {facts.outcome.metric: verification.changes[-1].after.score}
    return "test", facts.test.metrics if facts.test else {}


def _licence(facts: CardFacts) -> Licence:
    """Return the licence of the encoder; a model without one has none to name."""
    return Licence(None) if facts.reads_words else licence_of(facts.encoder)


def _base_model(encoder: str) -> str | None:
    """Return the encoder if it is a name on the hub."""
    is_hub = not encoder.startswith(PACKAGE) and not Path(encoder).is_dir()
    return encoder if is_hub and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", encoder) else None


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}: {part}" for name, part in value.items() if part is not None)
        return _cell(inner)
    return _cell("none" if value is None else value)


def _cell(value: object) -> str:
    """Return the text in a form that cannot end a table cell or begin Markdown or HTML."""
    return re.sub(r"([\\|<`*_\[\]])", r"\\\1", " ".join(str(value).split()))


def _label(name: str) -> str:
    return _cell(quoted_if_unclear(name))


# A value that the template uses and `model_card` does not give is an error, not a gap in the card.
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"cell": _cell, "label": _label, "setting": _setting, "score": format_score}
