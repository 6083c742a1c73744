"""Multiple choice as a target and as a source: each choice is a pair with its question; their number varies."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from task_trials import scores, scores_after_resume
from transformers import AutoTokenizer

from trainable.checkpoint import load_trained
from trainable.compute.forward import ANSWER_PLACES
from trainable.data.choices import NO_CHOICE, joined_choices
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.choices import pairs_of, tokenize_choices
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.tokens import tokenize
from trainable.loop.evaluate import compute_logits
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.tasks.multiple_choice import MULTIPLE_CHOICE
from trainable.tasks.registry import read_splits
from trainable.workspace import Workspace

GOOD, BAD = ("good", "best", "love"), ("bad", "worst", "hate")


def questions(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    generator, made = np.random.default_rng(seed), []
    for row in range(rows):
        choices = [str(generator.choice(BAD)) for _ in range(int(generator.integers(1, 4)))]
        place = int(generator.integers(len(choices) + 1))
        choices.insert(place, str(generator.choice(GOOD)))
        made.append({"question": f"which film {row}", "choices": choices, "label": place})
    return made


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def settings(base: dict[str, Any], file: Path, **target: Any) -> dict[str, Any]:
    common = {"padding_length": 24, "head": "keep_or_probe", "learning_rate": 5e-3}
    data = {"task": "multiple_choice", "json": str(file)}
    return {**base, "target": {**base["target"], **common, "dataset": data, **target}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "choices.jsonl", questions(80))


def table_of(choices: list[list[str]]) -> Examples:
    texts = joined_choices([choices])
    width = max(map(len, choices))
    labels = np.array([[0] * len(each) + [NO_CHOICE] * (width - len(each)) for each in choices], dtype=np.int16)
    return Examples([f"the film {row}" for row in range(len(choices))], texts, labels)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_it_learns_and_its_checkpoint_gives_the_same(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path, pooling: str
) -> None:
    config = build_config({**settings(base, file, epochs=8), "pooling": pooling})
    found = scores(config, workspace, save_to=tmp_path / "trial")
    assert found["target.validation.accuracy"] > 0.8
    model, _ = load_trained(tmp_path / "trial")
    validation = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    inputs = TokenInputs(validation.tokens, np.arange(len(validation.labels)), 24, False)
    logits = compute_logits(model, inputs, torch.device("cpu"))
    assert logits.shape == (*validation.labels.shape, 1)
    again = MULTIPLE_CHOICE.scores(logits, validation.labels)
    assert again == pytest.approx({k.rpartition(".")[2]: v for k, v in found.items() if "validation" in k}, abs=1e-6)
    low, high = MULTIPLE_CHOICE.interval(logits, validation.labels, "accuracy")
    assert low <= again["accuracy"] <= high
    assert MULTIPLE_CHOICE.difference_interval(logits, logits, validation.labels, "loss") == (0, 0)


@pytest.mark.parametrize("changed", [{"fixed": True}, {"parts": 3}, {"reuse_frozen": False, "frozen_layers": 3}])
def test_how_it_is_computed_changes_nothing(
    base: dict[str, Any], tmp_path: Path, file: Path, changed: dict[str, Any]
) -> None:
    frozen = changed.get("frozen_layers", 0)
    plain = settings(base, file, dropout=0.0, frozen_layers=frozen)
    other = settings(
        base, file, dropout=0.0, frozen_layers=frozen, padding="fixed" if changed.get("fixed") else "longest"
    )
    first = scores(build_config(plain), Workspace(tmp_path / "a"))
    spaces = Workspace(tmp_path / "b", reuse_frozen=changed.get("reuse_frozen", True))
    assert scores(build_config({**other, "micro_batches": changed.get("parts", 1)}), spaces) == pytest.approx(
        first, abs=1e-4
    )


def test_an_interrupted_run_ends_with_the_same_scores(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path
) -> None:
    config = build_config(settings(base, file, epochs=3))
    whole = scores(config, workspace)
    assert scores_after_resume(config, workspace, tmp_path / "half") == pytest.approx(whole, abs=1e-6)


def test_the_body_moves_from_pairs_and_the_head_from_the_same_task(
    base: dict[str, Any], workspace: Workspace, file: Path, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    lines = [f"a good film {row},the {'best' if row % 2 else 'worst'} film,{row % 2}" for row in range(60)]
    pairs.write_text("\n".join(["text_a,text_b,label", *lines]) + "\n", encoding="utf-8")
    from_pairs = settings(base, file)
    from_pairs["source"] = {**base["target"], "dataset": {"csv": str(pairs)}, "epochs": 1}
    for setting in ("head", "fold"):
        from_pairs["source"].pop(setting, None)
    found = scores(build_config(from_pairs), workspace)
    assert "source.validation.macro_f1" in found and "target.zero_shot.accuracy" not in found
    same = settings(base, file)
    same["source"] = {**same["target"], "dataset": {**same["target"]["dataset"], "json": str(file)}}
    same["source"].pop("head")
    assert "target.zero_shot.accuracy" in scores(build_config(same), workspace)


def test_each_choice_is_encoded_as_the_tokenizer_encodes_the_pair(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    table = table_of([["good", "a bad film"], ["best", "", "love of the film", "hate"], ["x", "y"]])
    tokens = tokenize_choices(tokenizer, table)
    rows, length = np.array([1, 0]), 8
    batch = tokens.batch(rows, length)
    chosen = pairs_of(table.take(rows))
    expected = tokenizer(chosen.text, chosen.text_b, truncation=True, max_length=length, padding=True)
    assert batch["input_ids"].tolist() == expected["input_ids"]
    assert batch["token_type_ids"].tolist() == expected["token_type_ids"]
    assert batch[ANSWER_PLACES].tolist() == [[0, -1, 1, 2], [3, 4, -1, -1]]
    lengths = np.array(expected["attention_mask"]).sum(1)
    assert tokens.lengths(length)[rows].tolist() == [lengths[:3].sum(), lengths[3:].sum()]
    assert tokens.widths(length)[rows].tolist() == [lengths[:3].max(), lengths[3:].max()]
    assert set(tokens.used_ids(rows, length)) == {*np.ravel(expected["input_ids"]).tolist(), tokenizer.pad_token_id}
    assert tokens.digest(rows, 64) == tokens.digest(rows, 63) != tokens.digest(rows, 5)
    both = tokens.followed_by(tokens)
    assert both.batch(rows + 3, length)["input_ids"].tolist() == expected["input_ids"]
    flat = tokenize(tokenizer, chosen)
    assert flat.batch(np.arange(5), length)["input_ids"].tolist() == expected["input_ids"]


def test_the_loss_is_that_of_the_softmax_over_the_choices_that_are_there() -> None:
    logits, labels = torch.tensor([[[1.0], [2.0], [9.0]]]), np.array([[0, 1, NO_CHOICE]], dtype=np.int16)
    found = MULTIPLE_CHOICE.scores(logits, labels)
    assert found == pytest.approx({"loss": np.log(1 + np.exp(-1)), "accuracy": 1.0})


def read(folder: Path, text: str, **given: Any) -> Any:
    file = folder / "choices.csv"
    file.write_text(text, encoding="utf-8")
    data = {"task": "multiple_choice", "csv": str(file), "choices": ["one", "two", "three"], "max_overlap": 1}
    return read_splits(Dataset.model_validate({**data, **given}))


@pytest.mark.parametrize("spelled", [("0", "1", "2"), ("A", "b", "C"), ("one", "two", "three"), ("1.0", "B", "three")])
def test_a_label_is_a_place_a_letter_or_a_column(tmp_path: Path, spelled: tuple[str, ...]) -> None:
    lines = [f"what is {row},a{row},b{row},c{row},{spelled[row % 3]}" for row in range(60)]
    splits = read(tmp_path, "\n".join(["question,one,two,three,label", *lines]))
    numbers = [int(question.split()[-1]) for question in splits.train.text]
    places = dict(zip(numbers, splits.train.strata.tolist(), strict=True))
    first = 1 if spelled[0] == "1.0" else 0
    assert all(place == (row % 3 or first) for row, place in places.items())
    assert splits.train.labels.shape == (len(splits.train), 3)


def test_places_that_count_from_1_can_be_named(tmp_path: Path) -> None:
    lines = [f"what is {row},a{row},b{row},,{row % 2 + 1}" for row in range(60)]
    text = "\n".join(["question,one,two,three,label", *lines])
    splits = read(tmp_path, text, labels=["1", "2", "3"])
    assert (splits.train.labels[:, 2] == NO_CHOICE).all()
    assert set(splits.train.strata.tolist()) == {0, 1}
    with pytest.raises(ConfigError, match=r"30 rows with a label in column 'label' that names an empty choice"):
        read(tmp_path, text)
    shifted = text.replace(",,", ",c,")
    assert any("set `labels: ['1', '2', '3']`" in note for note in read(tmp_path, shifted).notes)


def test_what_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    rows = questions(30)
    rows[4]["label"] = None
    rows[5]["label"] = "Z"
    rows[6]["choices"] = ["one"]
    rows[7]["choices"] = [1, 2, 3, 4]
    rows[8]["choices"] = "good"
    data = Dataset.model_validate({"task": "multiple_choice", "json": str(write(tmp_path / "q.jsonl", rows))})
    with pytest.raises(ConfigError) as caught:
        read_splits(data)
    text = str(caught.value)
    assert "1 row with no label in column 'label', the first on line 5" in text
    assert "names no choice, the first on line 6: 'Z'" in text
    assert "fewer than two choices, the first on line 7" in text
    assert "something else than text in column 'choices', the first on line 8" in text


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"task": "classification", "choices": ["a"]}, "choices: rows have choices only with `task: multiple_choice`"),
        ({"task": "multiple_choice", "text_b": "b"}, "text_b: the second texts are the choices"),
    ],
)
def test_settings_that_do_not_fit_are_refused(base: dict[str, Any], given: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build_config({**base, "target": {**base["target"], "dataset": {"csv": "x.csv", **given}}})
