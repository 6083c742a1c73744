"""Reads the facts of an exported folder: its trial.json. Nothing here imports torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from search.export.formats.about import FORMATS, Format, check_installed
from trainable.answers.answer import Answers
from trainable.answers.registry import ANSWERS, answers_of
from trainable.errors import ConfigError
from trainable.settings.dataset import Empty


class DataFacts(BaseModel):
    """How the model's own data were read; further settings of the data set are in `model_extra`."""

    model_config = ConfigDict(extra="allow")

    empty: Empty = "error"  # older exports do not have the setting and were trained so
    task: str = "classification"  # older exports are all of this task
    label_separator: str | None = None
    choices: list[str] | None = None

    @field_validator("task")
    @classmethod
    def _known(cls, task: str) -> str:
        if task not in ANSWERS:
            raise ValueError(f"this version does not know the task {task!r:.80}")
        return task


class SettingFacts(BaseModel):
    """The settings of the trial that its users need."""

    pooling: Literal["first", "mean", "max", "bi_encoder"] = "first"  # older exports do not have the setting
    padding_length: Annotated[int, Field(alias="target.padding_length", ge=4)]
    stride: Annotated[int | None, Field(alias="target.stride", ge=0)] = None
    long_texts: Annotated[Literal["cut", "windows"], Field(alias="target.long_texts")] = "cut"
    dataset: Annotated[DataFacts, Field(alias="target.dataset")] = DataFacts()


class FolderFacts(BaseModel):
    """The part of an export's trial.json that `predict` and `transfersweep.classifier` need."""

    format: Format = "hf"  # older exports do not name it
    text_columns: Annotated[list[str], Field(min_length=1)]
    label_names: Annotated[list[str], Field(min_length=1)]
    settings: SettingFacts

    def answers(self) -> Answers:
        """Return what the outputs of the model mean."""
        data = self.settings.dataset
        return answers_of(data.task, self.label_names, data.label_separator, data.choices)


def read_facts(folder: Path) -> FolderFacts:
    """Read the facts of an exported folder.

    Raises:
        ConfigError: if it is no such folder, its trial.json is damaged, or packages that load its format are missing.
    """
    file = folder / "trial.json"
    if not file.is_file():
        raise ConfigError(f"{folder}: is not a folder that `transfersweep export` wrote (no trial.json in it)")
    try:
        facts = FolderFacts.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{file}: is damaged: {wrong:.300}; export the model again") from None
    about = FORMATS[facts.format]
    check_installed(about, about.to_read, f"{folder}: its format, {facts.format},")
    return facts
