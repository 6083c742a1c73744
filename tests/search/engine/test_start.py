from pathlib import Path
from typing import Any

import pytest

from search.engine.start import extend_sweep
from search.errors import PlanError
from search.plan.plan import build_plan
from search.storage.sweep_folder import SweepFolder, create_sweep_folder


def test_a_sweep_with_a_time_limit_gets_more_time_instead_of_more_trials(
    blocks: dict[str, Any], tmp_path: Path
) -> None:
    folder = SweepFolder(tmp_path / "runs", "tiny")
    plan = build_plan(blocks | {"sweep": blocks["sweep"] | {"trials": None, "minutes": 3}}, (tmp_path,), "test")
    create_sweep_folder(folder, plan.to_mapping() | {"id": "0", "data": {}}).release()
    with pytest.raises(PlanError, match="tiny: has a time limit and no number of trials; give it more time: ") as error:
        extend_sweep("tiny", folder.storage, 5)
    assert f"`transfersweep resume tiny --set sweep.minutes=6 --storage {folder.storage}`" in str(error.value)
