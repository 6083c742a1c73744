"""Settings of a data set from the command line: `--set separator=tab`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.settings.mistake_messages import describe
from trainable.settings.yaml_file import parse_value

READING = ("separator", "quoting", "encoding", "empty")
"""Settings of a data set that say how a file is read; for a file given to a model, the model decides all others."""


def check_names(settings: Mapping[str, str], allowed: Sequence[str], command: str) -> None:
    """Check that a command takes these settings of a data set.

    Raises:
        ConfigError: naming each that it does not take.
    """
    if strange := [name for name in settings if name not in allowed]:
        raise ConfigError([f"--set {name}: `{command}` takes only {', '.join(allowed)}" for name in strange])


def dataset_of(place: Mapping[str, str], settings: Mapping[str, str]) -> Dataset:
    """Return a data set from file names and from settings given as YAML text.

    Args:
        place: the fields that name the files.
        settings: further fields, such as `{"text": "message"}`.

    Raises:
        ConfigError: with every mistake in the settings.
    """
    fields: dict[str, Any] = dict(place)
    problems: list[str] = []
    for name, text in settings.items():
        try:
            fields[name] = parse_value(text, name)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    try:
        return Dataset.model_validate(fields)
    except ValidationError as error:
        raise ConfigError([f"--set {sentence}" for sentence in describe(error, Dataset)]) from None
