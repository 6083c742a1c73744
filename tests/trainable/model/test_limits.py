"""Where an encoder is looked up, and what its config.json says."""

import json
from pathlib import Path

import pytest

from trainable.errors import ConfigError
from trainable.model.limits import limits_without_transformers, read_limits, resolve_encoder


def test_a_folder_is_found_in_the_first_root_that_has_it(tmp_path: Path) -> None:
    for place in ("one/enc", "two/enc", "two/other"):
        (tmp_path / place).mkdir(parents=True)
    roots = (tmp_path / "one", tmp_path / "two")
    assert resolve_encoder("enc", roots) == str(tmp_path / "one" / "enc")
    assert resolve_encoder("./other", roots) == str(tmp_path / "two" / "other")
    assert resolve_encoder(str(tmp_path / "two" / "enc"), ()) == str(tmp_path / "two" / "enc")


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "enc").mkdir()
    assert resolve_encoder("~/enc", (Path("/"),)) == str(tmp_path / "enc")


@pytest.mark.parametrize("name", ["bert-base-uncased", "owner/name", "package:some_package"])
def test_other_names_stay_as_they_are(name: str, tmp_path: Path) -> None:
    assert resolve_encoder(name, (tmp_path,)) == name


@pytest.mark.parametrize("name", ["./enc", "../enc", "/no/enc", "~/no-such-enc", "a/b/enc", "notes.txt"])
def test_a_path_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a file")
    with pytest.raises(ConfigError, match=r"no such folder; looked in /"):
        resolve_encoder(name, (tmp_path,))


def test_what_config_json_says_is_what_transformers_reads(encoder: str) -> None:
    assert limits_without_transformers(encoder) in (None, read_limits(encoder))


def test_missing_limits_are_left_to_transformers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert limits_without_transformers(str(tmp_path)) is None
