"""The tables of `benchmarks/tasks.py`, and both contenders on each task at a small size."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
FILMS = list(csv.DictReader((ROOT / "spaces" / "samples" / "films.csv").open(encoding="utf-8")))[:60]
INFERENCE = ("contradiction", "entailment", "neutral")
TAGS = ["B-PER", "I-PER", "O", "B-LOC", "O"]


def rows_of(folder: str) -> list[dict[str, Any]]:
    """Rows with the columns that the data folder has for this set."""
    if folder in ("mnli_dev/", "scitail_dev/", "snli_dev/"):
        pairs = [(f"{film['text']} {n}", label) for n, film in enumerate(FILMS[:20]) for label in INFERENCE]
        return [{"text_a": text, "text_b": f"It is {label}.", "label": label} for text, label in pairs]
    if folder == "multi30k_en_de/":
        return [{"text_a": film["text"], "text_b": film["text"].upper()} for film in FILMS]
    if folder in ("ud_english_ewt/", "wikiann_en/"):
        named = {"tokens": ["Ann", "Smith", "likes", "Rome", "."], "tags": TAGS}
        plain = [{"tokens": film["text"].split(), "tags": ["O"] * len(film["text"].split())} for film in FILMS]
        return [row for n in range(0, len(plain), 3) for row in (*plain[n : n + 3], named)]
    return [{"text": film["text"], "score": len(film["text"]) % 9 - 4, "label": film["label"]} for film in FILMS]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tables = ("sst2/", "customer_reviews/", "mnli_dev/", "scitail_dev/", "snli_dev/", "vader_domains/movie_")
    for name in (*tables, "vader_domains/tweets_", "ud_english_ewt/", "wikiann_en/", "multi30k_en_de/"):
        for split in ("train", "validation"):
            file = folder / f"{name}{split}"
            file.parent.mkdir(exist_ok=True)
            write(file, rows_of(name))
    return folder


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    if "tokens" in rows[0]:
        file.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return
    with file.with_suffix(".csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_questions_and_choices_have_their_answers(script: Callable[[str], ModuleType], data: Path) -> None:
    tables = script("task_tables")
    questions = list(tables.entity_questions(data, "test"))
    assert questions
    for row in questions:
        (answer,), (start,) = row["answers"]["text"], row["answers"]["answer_start"]
        assert answer == "Ann Smith" and row["context"][start:].startswith(answer)
    for row in tables.entailed(data, "train"):
        assert row["choices"][row["label"]] == "It is entailment."


def test_entities_are_those_of_seqeval(script: Callable[[str], ModuleType]) -> None:
    pytest.importorskip("accelerate", reason="the peer needs it: pip install '.[benchmarks]'")
    entities = script("trainer_tasks").entities
    assert entities(["B-A", "I-A", "I-B", "O", "I-B", "B-B"]) == {("A", 0, 2), ("B", 2, 3), ("B", 4, 5), ("B", 5, 6)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_contenders_do_the_same_work(data: Path, tmp_path: Path) -> None:
    pairs = ["tagging", "masked words", "multiple choice", "sequence to sequence"]  # the others differ less from these
    pytest.importorskip("accelerate", reason="the peer needs it: pip install '.[benchmarks]'")
    results = tmp_path / "tasks.jsonl"
    command = [sys.executable, ROOT / "benchmarks" / "tasks.py", "--data", data, "--results", results]
    command += ["--small", "--threads", 1, "--seeds", 0, "--contenders", "Trainer", "ours fp32", "--pairs", *pairs]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(runs) == 2 * len(pairs) and {run["pair"] for run in runs} == set(pairs)
    assert done.stdout.count("| ours fp32 |") == len(pairs)  # which stops if a pair's steps are not the same
