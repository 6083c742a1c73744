"""MLflow uses the current SQLite file of its URI, even after the file was deleted or replaced."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from search.storage.store_uri import sqlite_uri
from search.tracking.mlflow_internals import reopen_changed_file


def delete(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.unlink()
    file.touch()


def put_back_a_copy(file: Path) -> None:
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


@pytest.mark.parametrize(("change", "left"), [(delete, []), (empty, []), (put_back_a_copy, ["before"])])
def test_what_is_written_after_a_change_is_in_the_new_file(
    change: Callable[[Path], None], left: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "mlflow.db"
    uri = sqlite_uri(file)
    assert not reopen_changed_file(uri)
    client = MlflowClient(uri)
    client.create_experiment("before")
    assert not reopen_changed_file(uri)
    change(file)
    assert reopen_changed_file(uri)
    assert not reopen_changed_file(uri)
    client.create_experiment("after")
    there = {experiment.name for experiment in MlflowClient(sqlite_uri(file)).search_experiments()}
    assert there - {"Default"} == {*left, "after"}


def test_a_server_has_no_file() -> None:
    assert not reopen_changed_file("http://127.0.0.1:9")
