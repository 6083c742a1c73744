"""Files that were cut short or altered are noticed when they are read; cached ones are computed again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainable.checkpoint import load_trained
from trainable.errors import DamagedError
from trainable.inputs.prepare import _prepare
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.stages import epoch_checkpoints
from trainable.stages.stage_cache import STAGE_FILE
from trainable.store.checksums import CHECKSUMS_FILE, verify_checksums, write_with_checksums
from trainable.trial import Trial, run_trial
from trainable.workspace import Workspace


def flip(file: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


each_damage = pytest.mark.parametrize("damage", [flip, cut], ids=["flipped", "cut short"])


def _run(settings: dict[str, Any], workspace: Workspace, **sampled: Any) -> list[Report]:
    heard: list[Report] = []
    run_trial(build_config(settings, sampled), lambda r: heard.append(r) is None, workspace=workspace)
    return heard


@each_damage
def test_every_file_of_a_model_is_checked(damage: Callable[[Path], None], base: dict[str, Any], tmp_path: Path) -> None:
    model = tmp_path / "model"
    run_trial(build_config(base), lambda r: True, workspace=Workspace(tmp_path / "cache"), save_to=model)
    load_trained(model)
    files = sorted(file.name for file in model.iterdir())
    assert files == ["model.safetensors", "progress.json", CHECKSUMS_FILE, "trial.json"]
    for name in files:
        spoilt = shutil.copytree(model, tmp_path / name)
        damage(spoilt / name)
        with pytest.raises(DamagedError, match=name.replace(CHECKSUMS_FILE, "missing or incomplete|damaged")):
            load_trained(spoilt)
        (spoilt / name).unlink()
        with pytest.raises(DamagedError, match="a file or the checksums are missing"):
            load_trained(spoilt)


def test_a_damaged_checkpoint_is_refused(base: dict[str, Any], tmp_path: Path) -> None:
    config, workspace = build_config(base), Workspace(tmp_path / "cache")
    half = tmp_path / "half"
    run_trial(config, lambda r: False, workspace=workspace, save_to=half)
    run_trial(config, lambda r: True, half, workspace=workspace)
    flip(half / "optimizer.safetensors")
    with pytest.raises(DamagedError, match="damaged on disk, as their checksums show: optimizer.safetensors"):
        run_trial(config, lambda r: True, half, workspace=workspace)


@each_damage
def test_a_damaged_source_is_trained_again(
    damage: Callable[[Path], None], base: dict[str, Any], workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    first = _run(base, workspace, **{"source.enabled": True})
    (done,) = workspace.cache.glob(f"stages/*/{STAGE_FILE}")
    damage(done.parent / "weights.safetensors")
    assert _run(base, workspace, **{"source.enabled": True}) == first
    (message,) = {record.getMessage() for record in caplog.records if record.name.startswith("trainable")}
    assert message.startswith(str(done.parent))
    assert message.endswith("weights.safetensors; the source stage is trained again")
    verify_checksums(done.parent)


def test_an_unfinished_source_does_not_continue_from_a_damaged_checkpoint(
    base: dict[str, Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_checkpoints, "HEARTBEAT_SECONDS", -1.0)  # save at every report
    config = build_config(base, {"source.enabled": True, "source.epochs": 3})
    whole = [r for r in Trial(config, Workspace(workspace.cache / "other")).reports()]
    heard: list[Report] = []
    run_trial(config, lambda r: heard.append(r) is None and len(heard) < 2, workspace=workspace)
    (weights,) = workspace.cache.glob("ladders/*/*/*/weights.safetensors")
    flip(weights)
    assert _run(base, workspace, **{"source.enabled": True, "source.epochs": 3}) == whole


@each_damage
def test_a_damaged_output_of_frozen_layers_is_computed_again(
    damage: Callable[[Path], None], base: dict[str, Any], workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    first = _run(base, workspace, **{"target.frozen_layers": 2})
    files = sorted(workspace.cache.glob("prefix/*/*.safetensors"))
    before = [file.read_bytes() for file in files]
    for file in files:
        damage(file)
    assert _run(base, workspace, **{"target.frozen_layers": 2}) == first
    assert [file.read_bytes() for file in files] == before
    assert len([r for r in caplog.records if "it is computed again" in r.getMessage()]) >= len(files)


def test_damaged_tokens_are_computed_again(base: dict[str, Any], workspace: Workspace) -> None:
    first = _run(base, workspace)
    (file,) = workspace.cache.glob("tokens/*.safetensors")
    before = file.read_bytes()
    flip(file)
    _prepare.cache_clear()  # a new process
    assert _run(base, workspace) == first
    assert file.read_bytes() == before


def test_missing_checksums_are_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    write_with_checksums(folder, lambda into: (into / "a").write_text("content"))
    verify_checksums(folder)
    (folder / CHECKSUMS_FILE).write_text("[]")
    with pytest.raises(DamagedError, match="missing or incomplete"):
        verify_checksums(folder)
    with pytest.raises(DamagedError, match="missing or incomplete"):
        verify_checksums(tmp_path / "nowhere")
