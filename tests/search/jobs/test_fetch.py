"""Which models are brought home, and that nothing else is replaced."""

from pathlib import Path

import pytest

from search.errors import PlanError
from search.jobs.fetch import _check_free, _models
from search.storage.sweep_folder import SweepFolder, load_outcome, load_saved_plan


def test_the_winner_is_brought_home(swept: SweepFolder) -> None:
    outcome = load_outcome(swept)
    assert outcome is not None
    (model,) = _models(outcome)
    assert (swept.path / model / "model.safetensors").is_file()


def test_only_a_copy_of_the_same_sweep_is_replaced(swept: SweepFolder, tmp_path: Path) -> None:
    _check_free(SweepFolder(tmp_path, "new"), "any")
    _check_free(swept, load_saved_plan(swept)["id"])
    (tmp_path / "mine").mkdir()
    for folder in (swept, SweepFolder(tmp_path, "mine")):
        with pytest.raises(PlanError, match="holds something else"):
            _check_free(folder, "another")
