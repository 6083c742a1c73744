"""One stage: it lowers the loss, its losses are computed as documented, and a resume gives the same numbers."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainable.deadline import Deadline
from trainable.errors import TrialError
from trainable.inputs.prepare import prepare
from trainable.inputs.split import Split
from trainable.loop.evaluate import compute_logits
from trainable.loop.optimizers import OPTIMIZERS
from trainable.loop.training import StageTraining
from trainable.model.encoder import new_model
from trainable.model.views import layers_between
from trainable.progress import Report, StageContext
from trainable.settings.config import TrialConfig, build_config
from trainable.tasks.classification import CLASSIFICATION

CPU = torch.device("cpu")
Make = Callable[..., StageTraining]


@pytest.fixture
def make(base: dict[str, Any]) -> Make:
    """Make a target stage from settings by their names; those with a dot belong to the trial."""

    def make(labels: np.ndarray | None = None, classes: int = 2, **settings: Any) -> StageTraining:
        trial = {name: settings.pop(name) for name in ("seed", "precision", "micro_batches") if name in settings}
        config = build_config(base, {f"target.{name}": value for name, value in settings.items()} | trial)
        train, validation = _splits(config)
        if labels is not None:
            train = replace(train, labels=labels[: len(train.labels)])
        model = new_model(
            config.encoder, CLASSIFICATION.head(tuple("abcdef"[:classes])), config.seed, config.target.dropout
        )
        precision = config.precision
        context = StageContext("target", CLASSIFICATION, "macro_f1", config.seed, precision, CPU, config.micro_batches)
        return StageTraining(model, train, validation, config.target, context)

    return make


def _splits(config: TrialConfig) -> tuple[Split, Split]:
    tokenized = prepare(config.dataset_of(config.target), config.encoder, [Path()])
    train, validation = (tokenized.splits[name].for_stage(config.target) for name in ("train", "validation"))
    return train, validation


def _weights(training: StageTraining) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _train_losses(reports: list[Report]) -> list[float]:
    return [report.metrics["target.train.loss"] for report in reports]


def test_the_loss_falls_on_what_can_be_learned(make: Make) -> None:
    training = make(epochs=20, learning_rate=3e-3, batch_size=16, dropout=0.0)
    losses = _train_losses(list(training.reports()))
    assert losses[0] > 0.6
    assert losses[-1] < 0.3


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_resumed_is_uninterrupted_bit_for_bit(make: Make, optimizer: str, tmp_path: Path) -> None:
    settings = {"optimizer": optimizer, "evaluations_per_epoch": 3, "dropout": 0.1, "frozen_layers": 1, "epochs": 2}
    whole = make(**settings)
    reports = []
    for index, report in enumerate(whole.reports()):
        reports.append(report)
        if not report.last:
            (tmp_path / str(index)).mkdir()
            whole.save(tmp_path / str(index))
    assert len(reports) == 6
    assert any(report.epoch % 1 for report in reports)
    for index in range(5):
        torch.manual_seed(index)  # nothing may depend on the global generator
        resumed = make(**settings)
        resumed.load(tmp_path / str(index))
        assert list(resumed.reports()) == reports[index + 1 :]
        assert _equal(_weights(resumed), _weights(whole))
        assert resumed.progress == whole.progress


def test_a_saved_stage_is_no_pickle(make: Make, tmp_path: Path) -> None:
    training = make()
    next(training.reports())
    training.save(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".safetensors", ".json"}


def test_at_the_deadline_the_stage_ends_with_an_evaluation_and_its_best_weights(make: Make) -> None:
    steps: list[int] = []
    training = make(epochs=9, batch_size=8)

    def now() -> float:  # one call for each step
        steps.append(training.progress.step)
        return float(len(steps))

    training.context = replace(training.context, deadline=Deadline(9.0, now))
    *before, last = training.reports()
    assert [report.cut for report in before] == [False] * len(before)
    assert (last.cut, last.last) == (True, False)
    assert 0 < last.step < training.total
    assert last.step % training.steps_per_epoch
    assert last.metrics["target.validation.macro_f1"] >= 0
    assert training.progress.best is not None
    assert training.scores()["macro_f1"] == training.progress.best


def test_a_deadline_that_is_far_away_changes_nothing(make: Make) -> None:
    training = make(epochs=2)
    training.context = replace(training.context, deadline=Deadline(time.time() + 3600))
    assert list(training.reports()) == list(make(epochs=2).reports())


def test_patience_ends_the_stage_and_the_best_weights_come_back(make: Make) -> None:
    training = make(epochs=30, learning_rate=1e-2, schedule="constant", patience=3, dropout=0.0)
    training.context = replace(training.context, metric="loss")
    reports = list(training.reports())
    losses = [report.metrics["target.validation.loss"] for report in reports]
    best = int(np.argmin(losses))
    assert len(reports) == best + 1 + 3 < 30
    assert [report.last for report in reports] == [False] * (len(reports) - 1) + [True]
    assert [report.improved for report in reports] == [v < min(losses[:i], default=9e9) for i, v in enumerate(losses)]
    assert training.progress.best == losses[best]
    assert training.progress.best_step == reports[best].step
    logits = compute_logits(training.model, training.validation.inputs, CPU)
    restored = CLASSIFICATION.scores(logits, training.validation.labels)
    assert restored["loss"] == pytest.approx(losses[best], rel=1e-6)
    assert restored["loss"] < losses[-1]


def test_without_load_best_at_end_the_last_weights_stay_and_their_score_counts(make: Make, tmp_path: Path) -> None:
    settings = {"epochs": 6, "learning_rate": 1e-2, "schedule": "constant", "dropout": 0.0}
    best, training = make(**settings), make(**settings, load_best_at_end=False)
    for stage in (best, training):
        stage.context = replace(stage.context, metric="loss")
    reports = list(training.reports())
    losses = [report.metrics["target.validation.loss"] for report in reports]
    assert losses == [report.metrics["target.validation.loss"] for report in best.reports()]
    assert losses[-1] > min(losses)
    assert [report.improved for report in reports] == [True] * len(reports)
    assert (training.progress.best, best.progress.best) == (losses[-1], min(losses))
    assert training.scores()["loss"] == pytest.approx(losses[-1], rel=1e-6)
    begun = make(**settings, load_best_at_end=False)
    next(begun.reports())
    begun.save(tmp_path)
    assert not (tmp_path / "best.safetensors").exists()
    resumed = make(**settings, load_best_at_end=False)
    resumed.load(tmp_path)
    list(resumed.reports())
    assert _equal(_weights(resumed), _weights(training))


def test_a_loss_that_is_not_finite_ends_the_stage_with_a_message(make: Make) -> None:
    training = make(optimizer="sgd", learning_rate=10, weight_decay=10, gradient_clip=None, batch_size=2, epochs=9)
    words = r"the target loss is (nan|inf) at step \d+ of \d+; learning rate \d.*, last finite loss \d"
    with pytest.raises(TrialError, match=words):
        list(training.reports())


def test_broken_weights_are_found_at_the_first_report(make: Make) -> None:
    training = make(warmup_fraction=0.0)
    with torch.no_grad():
        next(iter(training.trained.values())).fill_(float("inf"))
    with pytest.raises(TrialError, match=r"nan at step 1 of \d+; learning rate 0\.001, last finite loss none"):
        list(training.reports())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("micro_batches", [1, 3])
def test_the_loss_is_the_weighted_mean_over_the_batch(
    make: Make, smoothing: float, weights: str, micro_batches: int
) -> None:
    labels = np.array([0] * 20 + [1] * 80)
    settings = {"label_smoothing": smoothing, "class_weights": weights, "micro_batches": micro_batches}
    training = make(labels, batch_size=1000, epochs=1, dropout=0.0, **settings)
    logits = compute_logits(training.model, training.steps.train.inputs, CPU)
    counts = np.bincount(training.steps.train.labels)
    assert counts[0] != counts[1]
    of_class = len(training.steps.train.labels) / (2 * counts) if weights == "balanced" else np.ones(2)
    expected = functional.cross_entropy(
        logits, torch.from_numpy(training.steps.train.labels), torch.tensor(of_class).float(), label_smoothing=smoothing
    )
    (report,) = training.reports()
    assert report.metrics["target.train.loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_label_without_training_rows_weighs_nothing(make: Make, smoothing: float) -> None:
    labels = np.array([0, 2] * 50)
    training = make(
        labels, classes=3, class_weights="balanced", label_smoothing=smoothing, epochs=6, learning_rate=3e-3
    )
    list(training.reports())
    logits = compute_logits(training.model, training.steps.train.inputs, CPU)
    assert 1 not in logits.argmax(-1)


@pytest.mark.parametrize("multiple", [4, 8, 1000])
def test_batches_are_as_wide_as_a_multiple_and_no_wider_than_any_row_may_be(make: Make, multiple: int) -> None:
    training = make(padding_length=46)
    inputs = training.steps.train.inputs
    rows = np.argsort(inputs.lengths)[:3]
    narrow, wide = inputs.batch(rows), inputs.batch(rows, multiple)
    widths = [batch["input_ids"].shape[1] for batch in (narrow, wide)]
    assert widths[1] == min(46, -(-widths[0] // multiple) * multiple)
    logits = [training.model.eval()(**batch).logits for batch in (narrow, wide)]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-6)


def test_padding_changes_no_logits(make: Make) -> None:
    one, other = make(padding="longest", padding_length=48), make(padding="fixed", padding_length=48)
    rows = np.argsort(one.steps.train.inputs.lengths)[:8]
    assert other.steps.train.inputs.batch(rows)["input_ids"].shape == (8, 48)
    assert one.steps.train.inputs.batch(rows)["input_ids"].shape[1] < 48
    logits = [compute_logits(training.model, training.steps.train.inputs, CPU) for training in (one, other)]
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-5, atol=1e-6)


def test_micro_batches_change_no_numbers_without_dropout(make: Make) -> None:
    numbers = []
    for micro_batches in (1, 2, 3):
        training = make(micro_batches=micro_batches, dropout=0.0, batch_size=10)
        numbers.append([[r.metrics["target.validation.loss"], *_train_losses([r])] for r in training.reports()])
    assert np.array(numbers[1]) == pytest.approx(np.array(numbers[0]), rel=1e-5)
    assert np.array(numbers[2]) == pytest.approx(np.array(numbers[0]), rel=1e-5)


def test_a_seed_decides_all_numbers(make: Make) -> None:
    def run(seed: int) -> list[Report]:
        torch.manual_seed(np.random.randint(1000))
        return list(make(seed=seed, dropout=0.1).reports())

    assert run(0) == run(0)
    assert _train_losses(run(0)) != _train_losses(run(1))


def test_heartbeats_change_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = list(make(dropout=0.1).reports())
    monkeypatch.setattr("trainable.loop.training.HEARTBEAT_SECONDS", -1.0)
    training = make(dropout=0.1)
    loud = list(training.reports())
    assert [report.step for report in loud] == list(range(1, training.total + 1))
    assert [report for report in loud if report.metrics] == silent


def test_bfloat16_is_close_to_float32_and_not_the_same(make: Make) -> None:
    losses = [_train_losses(list(make(precision=p, dropout=0.0).reports())) for p in ("fp32", "bf16")]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_evaluations_at_shares_of_the_stage(make: Make) -> None:
    training = make(epochs=2, evaluate_at=[0.25, 0.75])
    steps = [report.step for report in training.reports()]
    assert steps == sorted({round(training.total * share) for share in (0.25, 0.5, 0.75, 1)})


def test_frozen_layers_keep_their_weights(make: Make) -> None:
    training = make(frozen_layers=2, epochs=1)
    before = _weights(training)
    list(training.reports())
    moved = {name for name, p in _weights(training).items() if not torch.equal(p, before[name])}
    assert moved == set(training.trained)
    assert not any("embeddings" in name or "layer.0." in name or "layer.1." in name for name in moved)
    assert any("layer.2." in name for name in moved)


def test_the_ideal_time_of_a_token_is_that_of_the_network_in_use(make: Make) -> None:
    steps = make(frozen_layers=2).steps
    whole, network = steps._ideal, steps.network
    steps.use(layers_between(network, 2), steps.train)
    assert steps._ideal < whole
    steps.use(network, steps.train)
    assert steps._ideal == whole
