"""Question answering as a target and as a source: spans of long contexts, in windows, by the rules of SQuAD."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from task_trials import scores, scores_after_resume
from transformers import AutoTokenizer

from trainable.checkpoint import load_trained
from trainable.data.examples import Examples
from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.inputs.span_inputs import SpanInputs, in_windows
from trainable.inputs.split import Split
from trainable.inputs.token_inputs import TokenInputs
from trainable.inputs.windows import ContextTokens, tokenize_contexts
from trainable.loop.evaluate import compute_logits
from trainable.model.spans import MOST_TOKENS, best_spans
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.tasks.question_answering import QUESTION_ANSWERING, given_answers
from trainable.tasks.registry import read_splits
from trainable.tasks.threshold import probability_of
from trainable.workspace import Workspace

PLACES = ("good", "best", "love")
OTHERS = ("film", "movie", "story", "people", "time", "way")


def row(number: int, words: int = 8, answered: bool = True) -> dict[str, Any]:
    generator = np.random.default_rng(number)
    text = [str(word) for word in generator.choice(OTHERS, words)]
    answer = str(generator.choice(PLACES))
    if answered:
        text[int(generator.integers(words))] = answer
    context = " ".join([*text, str(number)])
    found = (
        {"text": [answer], "answer_start": [context.index(answer)]} if answered else {"text": [], "answer_start": []}
    )
    return {"id": str(number), "question": "which one is it", "context": context, "answers": found}


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return file


def settings(base: dict[str, Any], file: Path, **target: Any) -> dict[str, Any]:
    common = {"padding_length": 16, "stride": 3, "head": "keep_or_probe", "learning_rate": 5e-3}
    data = {"task": "question_answering", "json": str(file)}
    return {**base, "target": {**base["target"], **common, "dataset": data, **target}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "questions.jsonl", [row(i, 6 + i % 9, i % 4 < 3) for i in range(80)])


def test_it_learns_and_its_checkpoint_gives_the_same(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path
) -> None:
    config = build_config(settings(base, file, epochs=6))
    assert config.metric_of(config.target) == "answer_f1"
    found = scores(config, workspace, save_to=tmp_path / "trial")
    assert found["target.validation.answer_f1"] > 0.8
    model, _ = load_trained(tmp_path / "trial")
    validation = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    whole = TokenInputs(validation.tokens, np.arange(len(validation.labels)), 16, False)
    split = in_windows(Split(whole, validation.labels), 3)
    logits = compute_logits(model, split.inputs, torch.device("cpu"))
    again = QUESTION_ANSWERING.scores(logits, validation.labels)
    named = {k.rpartition(".")[2]: v for k, v in found.items() if "validation" in k and not k.endswith("cut")}
    assert again == pytest.approx(named, abs=1e-6)
    for metric in ("answer_f1", "loss"):
        low, high = QUESTION_ANSWERING.interval(logits, validation.labels, metric)
        assert low <= again[metric] <= high
        zero = QUESTION_ANSWERING.difference_interval(logits, logits, validation.labels, metric)
        assert zero == pytest.approx((0, 0))


def test_questions_that_all_have_answers_always_get_one(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path
) -> None:
    file = write(tmp_path / "answered.jsonl", [row(i) for i in range(60)])
    config = build_config(settings(base, file, epochs=1))
    scores(config, workspace, save_to=tmp_path / "trial")
    model, _ = load_trained(tmp_path / "trial")
    validation = tokenized_dataset_of(config, config.target, workspace).splits["validation"]
    whole = TokenInputs(validation.tokens, np.arange(len(validation.labels)), 16, False)
    logits = compute_logits(model, in_windows(Split(whole, validation.labels), 3).inputs, torch.device("cpu"))
    assert all(given_answers(logits, [label["context"] for label in validation.labels]))


@pytest.mark.parametrize("changed", [{"padding": "fixed"}, {"parts": 3}, {"cached": True}])
def test_how_it_is_computed_changes_nothing(
    base: dict[str, Any], tmp_path: Path, file: Path, changed: dict[str, Any]
) -> None:
    plain = settings(base, file, dropout=0.0)
    first = scores(build_config(plain), Workspace(tmp_path / "a"))
    other = settings(base, file, dropout=0.0, padding=changed.get("padding", "longest"))
    folder = tmp_path / ("a" if changed.get("cached") else "b")
    config = build_config({**other, "micro_batches": changed.get("parts", 1)})
    assert scores(config, Workspace(folder)) == pytest.approx(first, abs=1e-4)


def test_an_interrupted_run_ends_with_the_same_scores(
    base: dict[str, Any], workspace: Workspace, tmp_path: Path, file: Path
) -> None:
    config = build_config(settings(base, file, epochs=3))
    whole = scores(config, workspace)
    assert scores_after_resume(config, workspace, tmp_path / "half") == pytest.approx(whole, abs=1e-6)


def test_the_body_moves_from_and_to_other_tasks(base: dict[str, Any], workspace: Workspace, file: Path) -> None:
    from_films = settings(base, file, frozen_layers=2)
    from_films["source"] = {**base["source"], "enabled": True, "epochs": 1}
    assert "source.validation.macro_f1" in scores(build_config(from_films), workspace)
    answers = settings(base, file)["target"]
    to_tweets = {**base, "source": {key: answers[key] for key in answers if key not in ("head", "fold")}}
    found = scores(build_config(to_tweets), workspace)
    assert "source.validation.answer_f1" in found and "target.validation.macro_f1" in found


def tokens_of(tokenizer: Any, rows: list[dict[str, Any]]) -> tuple[ContextTokens, Any]:
    labels = np.empty(len(rows), dtype=object)
    labels[:] = [{**each["answers"], "context": each["context"]} for each in rows]
    table = Examples([each["question"] for each in rows], [each["context"] for each in rows], labels)
    return tokenize_contexts(tokenizer, table), labels


def test_windows_are_those_of_the_tokenizer(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    rows = [row(i, words) for i, words in enumerate((2, 9, 10, 30))]
    tokens, labels = tokens_of(tokenizer, rows)
    length, stride = 20, 4
    split = in_windows(Split(TokenInputs(tokens, np.arange(4), length, False), labels), stride)
    batch = split.inputs.batch(np.arange(4))
    expected = tokenizer(
        [each["question"] for each in rows],
        [each["context"] for each in rows],
        truncation="only_second",
        max_length=length,
        stride=stride,
        padding=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    assert batch["input_ids"].tolist() == expected["input_ids"]
    assert batch["window_rows"].tolist() == expected["overflow_to_sample_mapping"]
    assert split.inputs.lengths.sum() == np.array(expected["attention_mask"]).sum()
    for window, of_window in enumerate(expected["offset_mapping"]):
        spans = [list(s) if q == 1 else [-1, -1] for s, q in zip(of_window, expected.sequence_ids(window), strict=True)]
        assert batch["characters"][window].tolist() == spans
    assert split.inputs.weights(np.arange(4), None).tolist() == np.bincount(batch["window_rows"]).tolist()
    both = tokens.followed_by(tokens)
    assert (
        both.batch(np.array([7]), length)["input_ids"].tolist()
        == tokens.batch(np.array([3]), length)["input_ids"].tolist()
    )
    for window, (first, last) in enumerate(batch["true_spans"].tolist()):
        each = rows[int(batch["window_rows"][window])]
        begin, end = int(batch["characters"][window, first, 0]), int(batch["characters"][window, last, 1])
        inside = each["answers"]["answer_start"][0] in batch["characters"][window, :, 0].tolist()
        assert (begin >= 0) == inside
        assert not inside or each["context"][begin:end] == each["answers"]["text"][0]


def test_a_question_has_at_most_half_of_a_window_and_tiny_windows_are_refused(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokens, _ = tokens_of(tokenizer, [{**row(1), "question": "the film " * 20}])
    windows = tokens.windows(np.array([0]), 13)
    assert set(windows.question.tolist()) == {5} and windows.length.max() == 5
    with pytest.raises(ConfigError, match="padding_length: 4 has no room for a question and its context"):
        tokens.windows(np.array([0]), 4)


def test_the_best_span_is_that_of_all_spans() -> None:
    logits = torch.randn(5, 2, MOST_TOKENS + 12, generator=torch.Generator().manual_seed(0))
    score, first, last = best_spans(logits)
    for window in range(5):
        begin, end = logits[window].tolist()
        spans = {
            (i, j): begin[i] + end[j] for i in range(len(begin)) for j in range(i, min(i + MOST_TOKENS, len(begin)))
        }
        best = max(spans, key=lambda span: spans[span])
        assert (int(first[window]), int(last[window])) == best
        assert float(score[window]) == pytest.approx(spans[best])


def test_a_row_whose_answer_no_window_holds_still_counts(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    long = {"question": "what", "context": "a film " * 20, "answers": {"text": ["film a " * 9], "answer_start": [2]}}
    tokens, labels = tokens_of(tokenizer, [long])
    inputs = in_windows(Split(TokenInputs(tokens, np.arange(1), 12, False), labels), 2).inputs
    batch = inputs.batch(np.arange(1))
    assert (batch["true_spans"] == 0).all()
    assert isinstance(inputs, SpanInputs)
    no_answer = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]]])
    assert QUESTION_ANSWERING.scores(no_answer, labels) == {"loss": 0.5, "answer_f1": 0.0, "exact_match": 0.0}


def test_squad_files_are_read_as_they_are_distributed(tmp_path: Path) -> None:
    film = [{"text": "film", "answer_start": 2}]
    asked: list[dict[str, Any]] = [
        {"id": f"{i}", "question": f"what is {i}", "is_impossible": i % 3 == 0, "answers": film if i % 3 else []}
        for i in range(40)
    ]
    asked[3]["plausible_answers"] = [{"text": "film", "answer_start": 2}]
    paragraphs = [{"context": "a film here", "qas": asked}]
    squad = {"version": "2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
    file = tmp_path / "train.json"
    file.write_text(json.dumps(squad), encoding="utf-8")
    splits = read_splits(Dataset.model_validate({"task": "question_answering", "json": str(file)}))
    rows = zip(splits.train.text, splits.train.labels, strict=True)
    assert all(label["text"] == ([] if int(question.split()[-1]) % 3 == 0 else ["film"]) for question, label in rows)
    assert splits.text_columns == ("question", "context")
    del asked[0]["question"]
    file.write_text(json.dumps(squad), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"train.json: data\[0\].paragraphs\[0\].qas\[0\]: has no `question`"):
        read_splits(Dataset.model_validate({"task": "question_answering", "json": str(file)}))


def test_what_is_wrong_is_named_with_its_line(tmp_path: Path) -> None:
    rows = [row(i) for i in range(30)]
    rows[4]["answers"] = "good"
    rows[5]["answers"] = {"text": ["nowhere"], "answer_start": [0]}
    file = write(tmp_path / "questions.jsonl", rows)
    data = Dataset.model_validate({"task": "question_answering", "json": str(file)})
    with pytest.raises(ConfigError) as caught:
        read_splits(data)
    assert "1 row with no answers in column 'answers', the first on line 5: 'good'; give" in str(caught.value)
    assert "an answer in column 'answers' that is not in its context, the first on line 6" in str(caught.value)
    rows[4], rows[5] = row(4), row(5)
    rows[6]["answers"]["answer_start"][0] += 1
    write(file, rows)
    splits = read_splits(data)
    assert any("line 7; the nearest occurrence in the context is taken" in note for note in splits.notes)
    labels = [label for part in splits.by_name().values() for label in part.labels]
    assert all(label["context"].startswith(label["text"][0], label["answer_start"][0]) for label in labels)


def test_the_threshold_of_a_run_on_all_rows_is_a_number() -> None:
    task = QUESTION_ANSWERING
    assert [task.threshold_problem(value, "answer_f1", ()) for value in ("auto", "tuned", 0.25)] == ["", "", ""]
    assert "or a number" in task.threshold_problem("f2", "answer_f1", ())
    assert (probability_of(-1000.0), probability_of(1000.0)) == (1e-6, 1 - 1e-6)
