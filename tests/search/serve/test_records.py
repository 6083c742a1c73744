"""What a request of each task looks like: the columns of the model, and no path of an image."""

from typing import Any

import pytest
from pydantic import ValidationError

from search.export.facts import FolderFacts
from search.serve.app import request_form
from search.serve.records import answers_to, example
from trainable.errors import ConfigError


def facts_of(task: str, columns: list[str], **dataset: Any) -> FolderFacts:
    settings = {"target.padding_length": 16, "target.dataset": {"task": task, **dataset}}
    return FolderFacts.model_validate({"text_columns": columns, "label_names": ["a", "b"], "settings": settings})


PAIRS = facts_of("classification", ["what is said", "_answer"])
WORDS = facts_of("tagging", ["words"])
LIST = facts_of("multiple_choice", ["question", "choices"], choices=["choices"])
COLUMNS = facts_of("multiple_choice", ["question", "a", "b"], choices=["a", "b"])
IMAGES = facts_of("image_classification", ["image"])


def accepted(facts: FolderFacts, row: dict[str, Any]) -> bool:
    try:
        request_form(facts).model_validate({"rows": [row]})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("facts", [PAIRS, WORDS, LIST, COLUMNS, IMAGES], ids=lambda f: f.settings.dataset.task)
def test_the_example_is_a_row(facts: FolderFacts) -> None:
    assert list(example(facts)) == facts.text_columns and accepted(facts, example(facts))


@pytest.mark.parametrize(
    ("facts", "row", "is_one"),
    [
        (PAIRS, {"what is said": "a"}, False),
        (PAIRS, {"what is said": "a", "_answer": ["b"]}, False),
        (WORDS, {"words": ["a", "film"]}, True),
        (LIST, {"question": "a", "choices": "b"}, False),
        (COLUMNS, {"question": "a", "a": "b", "b": None}, True),
        (IMAGES, {"image": "/etc/passwd!"}, False),
    ],
)
def test_the_kinds_of_cells(facts: FolderFacts, row: dict[str, Any], is_one: bool) -> None:
    assert accepted(facts, row) == is_one


def test_bytes_that_are_no_image_are_refused() -> None:
    with pytest.raises(ConfigError, match="a file that is no image"):
        answers_to([{"image": b"hello"}], IMAGES, None)  # type: ignore[arg-type]  # no row reaches the model
