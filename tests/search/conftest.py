"""A finished sweep of tiny trained trials, made without Ray."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from search.finish import summarise, test_score
from search.ledger import Ledger
from search.place import Place
from search.plan import build_plan
from search.records import State
from search.selection import trial_config
from trainable.trial import run_trial


def make_sweep(storage: Path, trial: dict[str, Any]) -> Place:
    """Trial 0 is trained and wins, trial 1 was stopped half-way."""
    points = [{"target.epochs": 2}, {"target.epochs": 1}]
    sweep = {"name": "tiny", "trials": 2, "finalists": 1, "confirm_seeds": 0, "start_with": points}
    blocks = {"sweep": sweep, "trial": trial, "space": {"target.epochs": {"int": [1, 2]}}}
    place, plan = Place(storage, "tiny"), build_plan(blocks, (Path(),), "tiny.yaml")
    place.folder.mkdir(parents=True)
    place.plan.write_text(json.dumps(blocks | {"roots": ["."], "id": "0"}))
    ledger = Ledger(place.study, plan.settings, plan.space, 0)
    first, checkpoint = ledger.begin().number, place.folder / "checkpoint"
    config = trial_config(plan, ledger.record(first))
    result = run_trial(config, lambda said: True, workspace=plan.workspace(storage), save_to=checkpoint)
    said = {"value": result.value, "metrics": result.metrics, "improved": True, "share": 1.0, "seconds": 1.0}
    ledger.report(first, said)
    ledger.keep(first, str(checkpoint))
    ledger.end(first, State.FINISHED)
    ledger.end(ledger.begin().number, State.STOPPED)
    test = test_score(checkpoint, plan.workspace(storage), plan.settings.metric)
    place.outcome.write_text(json.dumps(summarise(plan, storage, ledger, test, complete=True).to_json()))
    return place


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, films_csv: Path, tweets_csv: Path) -> Place:
    stage = {"padding_length": 24, "learning_rate": 1e-3}
    trial = {
        "encoder": tiny_bert,
        "source": {"dataset": {"csv": str(films_csv)}, "epochs": 1, **stage},
        "target": {"dataset": {"csv": str(tweets_csv)}, **stage},
    }
    return make_sweep(tmp_path_factory.mktemp("swept") / "runs", trial)


@pytest.fixture(scope="session")
def swept_pairs(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, tweets_csv: Path) -> Place:
    """The same for pairs of texts, cut so short that both texts lose tokens."""
    folder = tmp_path_factory.mktemp("pairs")
    with tweets_csv.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    with (folder / "pairs.tsv").open("w", encoding="utf-8", newline="") as file:
        pairs = [(text, rows[i - 1][0], label) for i, (text, label) in enumerate(rows)]
        csv.writer(file, delimiter="\t").writerows([("said", "answer", "label"), *pairs])
    dataset = {"csv": str(folder / "pairs.tsv"), "text": "said", "text_b": "answer"}
    return make_sweep(folder / "runs", {"encoder": tiny_bert, "target": {"dataset": dataset, "padding_length": 12}})


@pytest.fixture
def blocks(tiny_bert: str, films_csv: Path, tweets_csv: Path) -> dict[str, Any]:
    """A correct experiment of trials that take a moment: source searched, one point given."""
    stage = {"padding_length": 16, "batch_size": 16, "learning_rate": 1e-3}
    point = {"source.enabled": True, "target.learning_rate": 1e-3, "target.epochs": 2}
    return {
        "sweep": {"name": "tiny", "trials": 3, "finalists": 1, "confirm_seeds": 1, "start_with": [point]},
        "trial": {
            "encoder": tiny_bert,
            "source": {"dataset": {"csv": str(films_csv)}, "train_rows": 32, "epochs": 1, **stage},
            "target": {"dataset": {"csv": str(tweets_csv)}, "padding_length": 16, "batch_size": 16},
        },
        "space": {
            "source.enabled": {"choice": [True, False]},
            "target.learning_rate": {"float": [1e-4, 1e-2], "log": True},
            "target.epochs": {"int": [1, 3]},
        },
    }
