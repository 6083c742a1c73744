import copy
from typing import Any

import jsonschema
import pytest

from search.plan.schema import experiment_schema
from spaces import shipped
from trainable.settings.yaml_file import load_yaml

SCHEMA = experiment_schema()


def test_it_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(load_yaml(shipped()[name]))


def test_the_experiment_of_the_tests_is_valid(blocks: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(blocks)


@pytest.mark.parametrize(
    "path",
    [
        ("sweeep",),
        ("sweep", "trails"),
        ("trial", "encodr"),
        ("trial", "metric"),
        ("trial", "target", "learning_rat"),
        ("trial", "source", "head"),
        ("trial", "target", "dataset", "txt"),
        ("space", "target.frozen_layer"),
        ("space", "target.epochs", "stepp"),
    ],
    ids=".".join,
)
def test_an_unknown_name_is_refused(path: tuple[str, ...], blocks: dict[str, Any]) -> None:
    changed = inner = copy.deepcopy(blocks)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = 3
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(changed)


def test_every_setting_has_a_description() -> None:
    """An editor shows it at the cursor."""
    sweep = SCHEMA["properties"]["sweep"]["properties"]
    assert all(field.get("description") for name, field in sweep.items() if name != "direction")
