"""The model card of an export: what the model is, what it was trained on and how, and how well it does."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from search.export.licence import licence_of
from search.export.proof import Proof
from search.record.records import Outcome, Score, TestScore, TrialRecord
from search.tracking.tracker import provenance
from search.wording import format_score
from trainable.data.message_text import quoted_if_unclear
from trainable.model.limits import PACKAGE
from trainable.settings.config import TrialConfig
from trainable.stages.trained_on import StageData

_PLACES = {"csv", "json_", "parquet", "folder", "hub", "train", "validation", "test"}
# The hub's names of our metrics; it knows one F1, whatever it averages over.
_HUB_METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "f1",
    "weighted_f1": "f1",
    "macro_precision": "precision",
    "macro_recall": "recall",
    "mcc": "matthews_correlation",
    "loss": "loss",
}


@dataclass(frozen=True)
class Described:
    """What a card and the export's trial.json tell; fit for the public: no paths, no addresses."""

    outcome: Outcome
    record: TrialRecord
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
    provenance: dict[str, str] = field(default_factory=provenance)
    """Versions, and the git commit of the working directory where it has one."""

    def to_json(self) -> dict[str, Any]:
        """The content of trial.json; `settings` is what `TrialConfig.to_flat` gives, made public."""
        return {
            "sweep": self.outcome.name,
            "trial": self.record.number,
            "seed": self.record.seed,
            "settings": self.settings,
            "label_names": list(self.labels),
            "text_columns": list(self.text_columns),
            "metrics": self.record.metrics,
            "run_id": self.outcome.run_id,
            "provenance": self.provenance,
        }


def public_settings(config: TrialConfig, data: Mapping[str, StageData]) -> dict[str, Any]:
    """The trial's flat settings; encoder and data sets by their names, the latter with their fingerprints."""
    flat = {**config.to_flat(), "encoder": public_encoder(config.encoder)}
    for name, stage in (("source", config.source), ("target", config.target)):
        if stage is not None and name in data:
            how = config.dataset_of(stage).model_dump(mode="json", exclude=_PLACES)
            flat[f"{name}.dataset"] = {"name": data[name].name, "fingerprint": data[name].fingerprint} | how
    return flat


def public_encoder(encoder: str) -> str:
    """A hub or package name as it is, a folder by its last part, also one that is gone."""
    is_name = encoder.count("/") < 2 and not encoder.startswith((".", "/", "~")) and not Path(encoder).is_dir()
    return encoder if is_name else Path(encoder).resolve().name


def model_card(described: Described, proof: Proof) -> str:
    """The card in Markdown, with the front matter that the Hugging Face hub reads."""
    outcome = described.outcome
    sections = [
        f"---\n{_front_matter(described).to_yaml()}\n---",
        f"# {outcome.name}\n\n{_what(described)}",
        "## Labels\n\n"
        + "\n".join(f"{i}. {_cell(quoted_if_unclear(name))}" for i, name in enumerate(described.labels)),
        "## Data\n\n" + _data(described.data, described.settings),
        "## Scores\n\n" + _scores(described),
        "## Did the source help?\n\n"
        + (outcome.comparison.sentence if outcome.comparison else "The sweep has nothing to compare."),
        "## How to use\n\n" + _usage(described),
        "## Limits\n\n" + _limits(described),
        "## All settings\n\n"
        + _table(("setting", "value"), ((f"`{n}`", _setting(v)) for n, v in described.settings.items())),
        "## Origin\n\n" + _origin(described, proof),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(described: Described) -> ModelCardData:
    test, metric = described.test, described.outcome.metric
    target = described.data["target"].name
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=target,
            dataset_name=target,
            dataset_split="test",
            metric_type=_HUB_METRICS[name],
            metric_name=name,
            metric_value=value,
        )
        for name, value in (test.metrics.items() if test else ())
    ]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["transfersweep", "text-classification", "transfer-learning"],
        metrics=[_HUB_METRICS[metric]],
        base_model=_base_model(described.encoder),
        license=licence_of(described.encoder).name,
        model_name=described.outcome.name if results else None,
        eval_results=results or None,
    )


def _base_model(encoder: str) -> str | None:
    """The encoder if it is one of the hub's."""
    is_hub = not encoder.startswith(PACKAGE) and not Path(encoder).is_dir()
    return encoder if is_hub and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", encoder) else None


def _what(described: Described) -> str:
    outcome, record = described.outcome, described.record
    stages = " and then ".join(f"on {_cell(data.name)} ({name})" for name, data in described.data.items())
    many = "pairs of texts" if len(described.text_columns) > 1 else "texts"
    chosen = "the winner" if record.number == outcome.winner else "not the winner"
    repeats = f" (and {len(outcome.repeats)} repeats of finalists on other seeds)" if outcome.repeats else ""
    return (
        f"Sorts {many} into {len(described.labels)} classes. `{public_encoder(described.encoder)}` fine-tuned {stages} "
        f"with [Transformers](https://github.com/huggingface/transformers). Trial {record.number}, seed {record.seed}, "
        f"of the sweep `{outcome.name}`: {chosen} among {len(outcome.searched)} trials{repeats}, by {outcome.metric} "
        "on the validation split."
    )


def _data(data: Mapping[str, StageData], settings: Mapping[str, Any]) -> str:
    splits = ("train", "validation", "test")
    rows = [
        (
            name,
            _cell(one.name),
            *(str(one.rows.get(split, "-")) for split in splits),
            str(settings.get(f"{name}.train_rows") or "all"),
            f"`{one.fingerprint}`",
        )
        for name, one in data.items()
    ]
    head = ("stage", "data set", "train rows", "validation rows", "test rows", "train rows used", "fingerprint")
    return _table(head, rows) + "\n\nThe fingerprint is a SHA-256 over texts, labels, splits and tokenizer."


def _scores(described: Described) -> str:
    metric, prefix = described.outcome.metric, "target.validation."
    own = {n.removeprefix(prefix): v for n, v in described.record.metrics.items() if n.startswith(prefix)}
    rows = [("validation", name, format_score(value)) for name, value in own.items()]
    parts = ["This model's own scores, each with its split; validation chose it, so those scores flatter it."]
    if described.test:
        rows += [("test", name, format_score(value)) for name, value in described.test.metrics.items()]
    parts.append(_table(("split", "metric", "value"), rows))
    if described.validation:
        over, many = described.validation, len(described.validation.values)
        spread = " (one seed)" if over.sd is None else f" ± {over.sd:.4f} (mean ± sd of {many} seeds)"
        parts.append(f"These settings over seeds: validation {metric} {format_score(over.mean)}{spread}.")
    if test := described.test:
        parts.append(
            f"Test {metric} {format_score(test.metrics[metric])}, 95 % bootstrap interval {format_score(test.low)} to "
            f"{format_score(test.high)}, {test.rows} rows. The test split was read once, after the choice. By class:"
        )
        columns = ("precision", "recall", "f1")
        lines = (
            (_cell(quoted_if_unclear(c.label)), *map(format_score, (c.precision, c.recall, c.f1)), str(c.rows))
            for c in test.per_class
        )
        parts.append(_table(("class (test)", *columns, "rows"), lines))
        if test.never_predicted:
            never = ", ".join(_cell(quoted_if_unclear(name)) for name in test.never_predicted)
            parts.append(f"On the test split it never predicts: {never}.")
    else:
        parts.append("There is no test score: only the winner of a sweep reads the test split, where there is one.")
    return "\n\n".join(parts)


def _usage(described: Described) -> str:
    pair = len(described.text_columns) > 1
    example = '{"text": "First text", "text_pair": "Second text"}' if pair else '"Your text"'
    return (
        "```python\nfrom transformers import pipeline\n\n"
        'classify = pipeline("text-classification", model="path/to/this/folder", truncation=True)\n'
        f"classify({example})\n```\n\n"
        "`truncation=True` cuts long texts as in training; without it transformers does not cut, and fails on texts "
        "longer than the encoder takes. For a table: `transfersweep predict path/to/this/folder FILE.csv`, with the "
        f"text in {' and '.join(f'`{_cell(column)}`' for column in described.text_columns)}."
    )


def _limits(described: Described) -> str:
    length = described.settings["target.padding_length"]
    reason = licence_of(described.encoder).reason
    unlicensed = f"\n- Names no licence: {reason}." if reason else ""
    return (
        f"- Reads the first {length} tokens of a text, special ones included; what follows is not seen.\n"
        f"- Knows only its {len(described.labels)} labels and gives one of them to any text, in any language.\n"
        "- Its probabilities are not calibrated.\n"
        "- The scores hold for texts like those of the target data; on others, measure first." + unlicensed
    )


def _origin(described: Described, proof: Proof) -> str:
    outcome, record = described.outcome, described.record
    made = {
        "sweep": outcome.name,
        "trial": f"{record.number} (seed {record.seed})",
        "MLflow run of the sweep": outcome.run_id or "none",
    } | {name.removeprefix("version.").removeprefix("mlflow.source."): v for name, v in described.provenance.items()}
    notes = "".join(f"\n\nNote: {note}." for note in outcome.notes)
    return (
        _table(("what", "value"), ((name, _cell(value)) for name, value in made.items()))
        + f"\n\nLoaded back before it was put here, this folder gave the checkpoint's logits on {proof.rows} "
        f"{proof.what} (largest difference {proof.max_difference:.1e})." + notes
    )


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}: {part}" for name, part in value.items() if part is not None)
        return _cell(inner)
    return _cell("none" if value is None else value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    """Text that neither ends a table's cell nor begins another markup."""
    return re.sub(r"([\\|<`*_\[\]])", r"\\\1", " ".join(str(value).split()))
