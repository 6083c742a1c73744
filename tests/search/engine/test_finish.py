"""The scores of a real model on the test split."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from search.engine.scoring import test_score as read_test_split
from search.plan.plan import load_sweep
from search.storage.sweep_folder import SweepFolder, load_outcome
from trainable.store.checksums import CHECKSUMS_FILE, write_checksums


def test_a_model_that_gives_one_label_to_everything_never_predicts_the_other(
    swept: SweepFolder, tmp_path: Path
) -> None:
    outcome, workspace = load_outcome(swept), load_sweep(swept).workspace(swept.storage)
    assert outcome
    checkpoint = shutil.copytree(swept.path / str(outcome.record(0).checkpoint), tmp_path / "checkpoint")
    weights = load_file(checkpoint / "model.safetensors")
    weights["classifier.bias"] += torch.tensor([100.0, 0.0])
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})
    (checkpoint / CHECKSUMS_FILE).unlink()
    write_checksums(checkpoint)
    score = read_test_split(checkpoint, workspace, "macro_f1")
    assert score
    assert score.never_predicted == ("positive",)
