import copy
from typing import Any

import jsonschema
import pytest

from search.plan.schema import experiment_schema
from spaces import shipped
from trainable.settings.yaml_file import load_yaml

SCHEMA = experiment_schema()


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_agree_with_it(name: str) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(load_yaml(shipped()[name]))


def test_the_experiment_of_the_tests_agrees_with_it(blocks: dict[str, Any]) -> None:
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
def test_a_name_that_is_none_is_refused(path: tuple[str, ...], blocks: dict[str, Any]) -> None:
    changed = inner = copy.deepcopy(blocks)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = 3
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(changed)


def test_settings_say_what_they_mean() -> None:
    """What an editor shows at the cursor."""
    sweep = SCHEMA["properties"]["sweep"]["properties"]
    assert all(field.get("description") for name, field in sweep.items() if name != "direction")
