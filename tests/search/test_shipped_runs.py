"""Every experiment file that is shipped, run to its end at a small size."""

from pathlib import Path

import pytest

from search.engine.start import start_sweep
from search.plan.plan import find_experiment, load_plan
from search.record.records import State
from spaces import shipped

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

START = "{source.enabled: %s, target.epochs: 4}"
SMALL: dict[str, dict[str, str]] = {
    "quickstart": {
        "sweep.trials": "2",
        "sweep.confirm_seeds": "1",
        "sweep.start_with": f"[{START % 'true'}, {START % 'false'}]",
        "trial.source.train_rows": "32",
        "space.target.frozen_layers": "{int: [0, 3]}",
    },
    "bert_paper_grid": {
        "sweep.trials": "3",
        "sweep.confirm_seeds": "0",
        "trial.source.train_rows": "32",
    },
    "head_only": {
        "sweep.trials": "3",
        "sweep.confirm_seeds": "1",
        "trial.target.frozen_layers": "3",
    },
    "source_choice": {
        "sweep.trials": "3",
        "sweep.confirm_seeds": "1",
        "sweep.start_with": "[{source.enabled: true, source.dataset: films}, "
        "{source.enabled: true, source.dataset: reviews}, {source.enabled: false}]",
        "trial.source.train_rows": "32",
    },
}


def test_none_is_forgotten() -> None:
    assert set(SMALL) == set(shipped())


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shipped") / "runs"


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_experiment_runs_to_its_end(name: str, tiny_bert: str, storage: Path) -> None:
    overrides = SMALL[name] | {"trial.encoder": tiny_bert, "trial.target.train_rows": "32"}
    plan = load_plan(find_experiment(name), overrides)
    outcome = start_sweep(plan, storage)
    assert outcome.complete
    searched = [r for r in outcome.trials if r.role == "search"]
    assert len(searched) == plan.settings.trials
    assert {r.state for r in outcome.trials} <= {State.FINISHED, State.STOPPED}
    for record, point in zip(searched, plan.settings.start_with or [], strict=False):
        assert record.params.items() >= point.items()
    assert outcome.winner is not None or outcome.winning_baseline is not None
    assert outcome.test is not None
    assert outcome.test.metrics.keys() >= {"macro_f1", "accuracy"}
