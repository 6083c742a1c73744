"""Every task by its name, and reading a data set as its task says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trainable.data.read_splits import Splits, read_splits_and_problems
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.tasks.classification import CLASSIFICATION
from trainable.tasks.image_classification import IMAGE_CLASSIFICATION
from trainable.tasks.masked_language import MASKED_LANGUAGE
from trainable.tasks.multi_label import MULTI_LABEL
from trainable.tasks.multiple_choice import MULTIPLE_CHOICE
from trainable.tasks.question_answering import QUESTION_ANSWERING
from trainable.tasks.regression import REGRESSION
from trainable.tasks.sequence_to_sequence import SEQUENCE_TO_SEQUENCE
from trainable.tasks.tagging import TAGGING
from trainable.tasks.task import Task

_ALL: tuple[Task, ...] = (
    *(CLASSIFICATION, REGRESSION, TAGGING, MULTI_LABEL, MULTIPLE_CHOICE, QUESTION_ANSWERING),
    *(IMAGE_CLASSIFICATION, MASKED_LANGUAGE, SEQUENCE_TO_SEQUENCE),
)
TASKS: Mapping[str, Task] = {task.name: task for task in _ALL}
"""The tasks by the name that `dataset.task` gives them."""


def read_dataset(dataset: Dataset, data_folders: Sequence[Path] = (Path(),)) -> tuple[Splits, list[str]]:
    """Read, check and split a data set; leave out wrong rows, and return the mistakes beside the splits.

    Raises:
        ConfigError: if files or columns are missing, so that there are no rows.
    """
    return read_splits_and_problems(dataset, TASKS[dataset.task].reader, data_folders)


def read_splits(dataset: Dataset, data_folders: Sequence[Path] = (Path(),)) -> Splits:
    """Read, check and split a data set.

    Args:
        dataset: which files, columns and labels.
        data_folders: folders in which relative file names are looked up, in order.

    Raises:
        ConfigError: with all mistakes; each sentence begins with the file's name.
    """
    splits, problems = read_dataset(dataset, data_folders)
    if problems:
        raise ConfigError(problems)
    return splits
