"""Tagging as a target and as a source: words keep their tags, however they are tokenised, truncated or batched."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
import pytest
import torch
from task_trials import scores, scores_after_resume
from transformers import AutoTokenizer

from trainable.baselines.checkpoints import checkpoint_logits
from trainable.checkpoint import load_trained
from trainable.compute.forward import ANSWER_PLACES, forward
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.tokens import tokenize
from trainable.inputs.word_windows import with_windows
from trainable.inputs.words import first_tokens, with_words, words_cut
from trainable.loop.evaluate import compute_logits
from trainable.preview.inspection import inspect_dataset
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import read_splits
from trainable.tasks.tagging import TAGGING
from trainable.trial import Trial
from trainable.workspace import Workspace

NAMES = ("ann", "bob", "eve")
PLACES = ("rome", "oslo")


def sentences(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    generator, made = np.random.default_rng(seed), []
    for row in range(rows):
        words, tags = ["the", "film", f"{row}"], ["O", "O", "O"]
        for _ in range(int(generator.integers(1, 3))):
            words += [str(generator.choice(NAMES)), "smith", "in", str(generator.choice(PLACES))]
            tags += ["B-PER", "I-PER", "O", "B-LOC"]
        made.append({"words": words, "tags": tags})
    return made


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def settings(base: dict[str, Any], file: Path, **target: Any) -> dict[str, Any]:
    data = {"task": "tagging", "json": str(file), "text": "words", "label": "tags"}
    common = {"padding_length": 48, "head": "keep_or_probe", "learning_rate": 5e-3}
    return {**base, "target": {**base["target"], **common, "dataset": data, **target}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "words.jsonl", sentences(40))


def test_it_learns_and_its_checkpoint_gives_the_same(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path
) -> None:
    config = build_config(settings(base, file, epochs=6))
    assert config.metric_of(config.target) == "entity_f1"
    found = scores(config, workspace, save_to=tmp_path / "trial")
    assert found["target.validation.entity_f1"] > 0.8
    model, _ = load_trained(tmp_path / "trial")
    validation = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    inputs = TokenInputs(validation.tokens, np.arange(len(validation.labels)), 48, False)
    logits, names = compute_logits(model, inputs, torch.device("cpu")), tuple((model.config.id2label or {}).values())
    assert logits.shape == (*validation.labels.shape, len(names))
    again = TAGGING.scores(logits, validation.labels, names)
    assert again == pytest.approx({k.rpartition(".")[2]: v for k, v in found.items() if "validation" in k}, abs=1e-6)
    low, high = TAGGING.interval(logits, validation.labels, "entity_f1", names)
    assert low <= again["entity_f1"] <= high


@pytest.mark.parametrize("changed", [{"frozen_layers": 2}, {"frozen_layers": 3}, {"frozen_layers": 3, "epochs": 3}])
def test_the_frozen_output_may_be_reused(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path, changed: dict[str, Any]
) -> None:
    config = build_config(settings(base, file, **changed))
    found = [scores(config, Workspace(tmp_path / f"{reuse}", reuse_frozen=reuse)) for reuse in (True, False)]
    assert list((tmp_path / "True" / "prefix").glob("*/*.safetensors"))
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_micro_batches_have_the_mean_over_the_words_of_the_batch(
    base: dict[str, Any], workspace: Workspace, file: Path
) -> None:
    one, several = (
        scores(build_config({**settings(base, file, dropout=0.0), "micro_batches": parts}), workspace)
        for parts in (1, 3)
    )
    assert one == pytest.approx(several, abs=1e-4)


def test_an_interrupted_run_ends_with_the_same_scores(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path
) -> None:
    config = build_config(settings(base, file, epochs=3))
    whole = scores(config, workspace)
    assert scores_after_resume(config, workspace, tmp_path / "half") == pytest.approx(whole, abs=1e-6)


def test_the_body_moves_from_a_classification_and_the_head_only_with_the_same_tags(
    base: dict[str, Any], workspace: Workspace, file: Path, tmp_path: Path
) -> None:
    from_films = settings(base, file, frozen_layers=3)
    from_films["source"] = {**base["source"], "enabled": True, "epochs": 1}
    found = scores(build_config({**from_films, "pooling": "mean"}), workspace, save_to=tmp_path / "trial")
    assert "source.validation.macro_f1" in found and "target.zero_shot.entity_f1" not in found
    source = next((workspace.cache / "stages").rglob("weights.safetensors"), None)
    assert source is not None
    other = write(tmp_path / "other.jsonl", sentences(40, seed=1))
    same = settings(base, file)
    same["source"] = {**same["target"], "dataset": {**same["target"]["dataset"], "json": str(other)}}
    same["source"].pop("head")
    assert "target.zero_shot.entity_f1" in scores(build_config(same), workspace)


def test_truncation_and_padding_do_not_move_words(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    texts = ["the zzz film", "a", "one two three four five"]
    table = Examples(texts, None, np.zeros((3, 5), dtype=np.int16))
    words = with_words(tokenize(tokenizer, table), tokenizer, table)
    whole = TokenInputs(words, np.arange(3), 64, False)
    batch = whole.batch(np.arange(3))
    first = batch["input_ids"].flatten()[batch[ANSWER_PLACES].clamp(min=0)]
    for row, text in enumerate(texts):
        expected = [tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in text.split()]
        assert first[row, : len(expected)].tolist() == expected
        assert (batch[ANSWER_PLACES][row, len(expected) :] == -1).all()
    cut = TokenInputs(words, np.arange(3), 4, False).batch(np.array([0]))[ANSWER_PLACES]
    assert (cut[0] >= 0).sum() == 2  # [CLS] the z [SEP]
    assert words_cut(words, 64) == 0
    assert words_cut(words, 4) == pytest.approx(4 / 9)


def test_windows_give_every_word_its_own_token(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    texts = [" ".join(f"{word}{'z' * (number % 3)}" for number in range(40)) for word in ("film", "good")]
    texts[1] += " the end"
    table = Examples([*texts, "a film"], None, np.zeros((3, 42), dtype=np.int16))
    words = with_words(tokenize(tokenizer, table), tokenizer, table)
    whole = TokenInputs(words, np.arange(3), 400, False).batch(np.arange(3))
    windows = TokenInputs(with_windows(words, "windows"), np.arange(3), 16, False)
    assert windows.places is None and windows.answers == (42,)
    for rows in (np.array([1, 2, 0]), np.array([0]), np.array([2])):
        batch = windows.batch(rows)
        assert batch["input_ids"].shape[1] <= 16
        places, expected = batch[ANSWER_PLACES], whole[ANSWER_PLACES][rows]
        assert ((places >= 0) == (expected >= 0)).all()
        there = places >= 0
        found = batch["input_ids"].flatten()[places[there]]
        assert found.tolist() == whole["input_ids"].flatten()[expected[there]].tolist()
        inside = places[there] % batch["input_ids"].shape[1]
        assert batch["attention_mask"].flatten()[places[there]].all() and (inside > 0).all()
    short = TokenInputs(with_windows(words, "windows"), np.arange(3), 400, False)
    assert short.places is not None  # as if there were no windows
    assert short.batch(np.arange(3))[ANSWER_PLACES].tolist() == whole[ANSWER_PLACES].tolist()
    assert windows.lengths.sum() == sum(int(windows.batch(np.array([row]))["attention_mask"].sum()) for row in range(3))


def test_words_cut_off_have_the_first_answer() -> None:
    class Model(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor) -> Any:
            return type("Output", (), {"logits": torch.ones(1, 4, 2) * torch.arange(4).view(1, 4, 1)})

    batch = {"input_ids": torch.ones(1, 4, dtype=torch.long), ANSWER_PLACES: torch.tensor([[1, 3, -1]])}
    logits = forward(Model(), batch, torch.device("cpu"), "fp32")  # type: ignore[arg-type]
    assert logits[0, :, 0].tolist() == [1, 3, 0]


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("ab c", [(0, 1), (1, 2), (3, 4)], [0, 2]),
        ("ab c", [(0, 2), (2, 4)], [0, 1]),  # a byte-level token begins with the blank before its word
        ("ab \u200b c", [(0, 2), (5, 6)], [0, -1, 1]),  # the tokenizer drops a word
        ("ab c", [], [-1, -1]),
        (" a", [(1, 2)], [-1, 0]),  # an empty word
    ],
)
def test_first_tokens(text: str, spans: list[tuple[int, int]], expected: list[int]) -> None:
    assert first_tokens(text, np.array(spans, dtype=np.int64).reshape(-1, 2)).tolist() == expected


def test_inspect_counts_the_rows_with_each_tag(tiny_bert: str, file: Path) -> None:
    data = {"task": "tagging", "json": str(file), "text": "words", "label": "tags", "test_fraction": 0.0}
    found = inspect_dataset(Dataset.model_validate(data), tiny_bert)
    counts = found.splits["train"]
    assert counts.labels.rows == dict.fromkeys(("O", "B-LOC", "B-PER", "I-PER"), counts.rows)


def test_a_cell_may_be_text_and_tags_numbers(tmp_path: Path) -> None:
    file = tmp_path / "words.csv"
    file.write_text("text,label\n" + "".join(f"rome {row} is,1 0 2\n" for row in range(40)), encoding="utf-8")
    data = Dataset.model_validate({"task": "tagging", "csv": str(file), "labels": ["NUM", "PLACE", "O"]})
    splits = read_splits(data)
    assert splits.label_names == ("O", "NUM", "PLACE")  # `O` is the answer for words that are cut off
    assert splits.train.labels[0].tolist() == [2, 1, 0]


def test_what_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    rows = sentences(30)
    rows[4]["tags"] = rows[4]["tags"][:-1]
    rows[6]["tags"][0] = "I-PER"
    file = write(tmp_path / "words.jsonl", rows)
    data = Dataset.model_validate({"task": "tagging", "json": str(file), "text": "words", "label": "tags"})
    with pytest.raises(ConfigError, match=r"words.jsonl: 1 row with another number of tags .* on line 5"):
        read_splits(data)
    rows[4]["tags"].append("O")
    write(file, rows)
    assert any("line 7; an entity begins there" in note for note in read_splits(data).notes)


@pytest.mark.parametrize("rows", [[], [{"words": None, "tags": ["O"]}], [{"words": ["a", "b"], "tags": ["O"]}]])
def test_a_split_without_a_usable_row_is_named(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    train, validation = write(tmp_path / "train.jsonl", sentences(30)), tmp_path / "validation.parquet"
    pd.DataFrame(rows, columns=["words", "tags"]).to_parquet(validation)
    files = {"train": str(train), "validation": str(validation), "text": "words", "label": "tags"}
    with pytest.raises(ConfigError, match=r"validation.parquet: (the validation split is empty|1 row with)"):
        read_splits(Dataset.model_validate({"task": "tagging", "empty": "drop", **files}))


def test_a_trial_with_windows_reads_every_word(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path
) -> None:
    more = {"epochs": 3, "padding_length": 8, "frozen_layers": 1}
    cut = scores(build_config(settings(base, file, **more)), workspace)
    config = build_config(settings(base, file, long_texts="windows", **more))
    whole = scores(config, workspace, save_to=tmp_path / "trial")
    assert whole["target.validation.entity_recall"] > cut["target.validation.entity_recall"]
    trial = Trial(config, workspace)
    next(reports := trial.reports())
    (tmp_path / "half").mkdir()
    trial.save(tmp_path / "half")
    reports.close()
    assert scores(config, workspace, resume=tmp_path / "half") == whole
    logits = checkpoint_logits(tmp_path / "trial", "validation", workspace)
    assert logits is not None
    splits = read_splits(config.dataset_of(config.target))
    found = TAGGING.scores(logits, splits.validation.labels, splits.label_names)
    assert found["entity_f1"] == pytest.approx(whole["target.validation.entity_f1"])


def test_windows_need_words(base: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"target\.long_texts: windows need an answer for each word"):
        build_config({**base, "target": {**base["target"], "long_texts": "windows"}})
