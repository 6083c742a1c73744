"""A model that was made smaller is proven and measured, and its card says what that cost."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, pipeline
from typer.testing import CliRunner

import transfersweep
from search.__main__ import app
from search.export.export import export_trial
from search.export.exportable import choose
from search.export.predict import predict_file
from search.export.smaller.heads import _factors, _importance, attentions_of, most_important, remove_heads
from search.export.smaller.layers import influence, remove_layers
from search.export.smaller.measure import ValidationRows
from search.export.smaller.options import Prune, Smaller, smaller_from
from search.plan.plan import load_sweep
from search.storage.sweep_folder import SweepFolder, load_outcome
from trainable.checkpoint import load_trained
from trainable.errors import ConfigError, TrialError
from trainable.inputs.span_inputs import stage_inputs
from trainable.loop.evaluate import compute_logits
from trainable.model.layers import layers_of

CPU = torch.device("cpu")


@pytest.fixture
def model(swept: SweepFolder) -> tuple[torch.nn.Module, ValidationRows]:
    outcome, plan = load_outcome(swept), load_sweep(swept)
    assert outcome is not None
    checkpoint = outcome.record(0).checkpoint_in(swept.path)
    assert checkpoint is not None
    model, config = load_trained(checkpoint)
    return model, ValidationRows.of(config, plan.workspace(swept.storage), "macro_f1")


def test_an_encoder_with_fewer_layers_loads_in_transformers(
    swept: SweepFolder, tweets_csv: Path, tmp_path: Path
) -> None:
    chosen = choose(swept.name, swept.storage, tmp_path / "small")
    pruned = export_trial(replace(chosen, smaller=Smaller(Prune("layers", 1), most_loss=1.0)))
    bare = AutoModelForSequenceClassification.from_pretrained(pruned.folder)
    assert bare.config.num_hidden_layers == len(bare.bert.encoder.layer) == 2
    (changed,) = pruned.verification.changes
    assert changed.after.bytes < changed.before.bytes and changed.rows == "16 validation rows"
    assert all(p50 <= p95 for p50, p95 in changed.after.milliseconds.values())
    assert json.loads(json.dumps(pruned.to_json()))["changes"][0]["after"]["score"] == changed.after.score
    predict_file(pruned.folder, tweets_csv, tmp_path / "out.csv")
    ours = transfersweep.classifier(pruned.folder)("what a day")
    (theirs,) = pipeline("text-classification", model=str(pruned.folder))("what a day")
    assert (ours.label, ours.probability) == (theirs["label"], pytest.approx(theirs["score"], abs=1e-5))
    card = ModelCard.load(pruned.folder / "README.md")
    assert "1 of 3 encoder layers were removed" in card.text and "before the changes below" in card.text
    [result] = card.data.eval_results or []  # the test score is that of the whole model
    assert (result.dataset_split, result.metric_value) == ("validation", changed.after.score)


def test_what_costs_too_much_leaves_nothing(swept: SweepFolder, tmp_path: Path) -> None:
    chosen = choose(swept.name, swept.storage, tmp_path / "none")
    for most_loss, amount, says in (
        (-math.inf, 1, "--prune layers=1: macro_f1 on 16 validation rows is .* more than --max-loss -inf"),
        (1.0, 3, "has 3 layers; remove 1 to 2 of them"),
    ):
        with pytest.raises((TrialError, ConfigError), match=says):
            export_trial(replace(chosen, smaller=Smaller(Prune("layers", amount), most_loss=most_loss)))
    assert list(tmp_path.iterdir()) == []


def test_the_least_important_heads_are_removed_and_one_of_each_layer_stays() -> None:
    importance = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.4, 0.05, 0.06, 0.8]])
    assert most_important(importance, 0.25).tolist() == [[True] * 4, [True, False, False, True]]
    for fraction in (0.75, 0.99):
        assert most_important(importance, fraction).tolist() == [[True] + [False] * 3, [False] * 3 + [True]]
    assert most_important(torch.ones(2, 3), 0.9).sum(1).tolist() == [1, 1]


def test_a_head_matters_as_much_as_the_loss_changes_with_it(model: tuple[torch.nn.Module, ValidationRows]) -> None:
    """The derivative by a head's factor, which is its importance, is what a small change of the factor shows."""
    bert, rows = model
    split = stage_inputs(rows.tokenized, rows.stage)
    attentions = attentions_of(bert, split.inputs, 2)
    names, step = ("a", "b"), 0.05
    loss = rows.task.loss(split.labels, rows.task.head(names), rows.stage, CPU)

    def losses(layer: int, head: int, change: float) -> torch.Tensor:
        def factor(number: int, sequences: int) -> torch.Tensor:
            found = torch.ones(sequences, 2)
            found[:, head] += change * (number == layer)
            return found

        with _factors(attentions, 2, factor):
            logits = compute_logits(bert, split.inputs, CPU)
        labels = torch.from_numpy(split.labels)
        return torch.stack([loss.sum(logits[row : row + 1], labels[row : row + 1]) for row in range(len(labels))])

    slopes = torch.tensor(
        [
            [float((losses(n, head, step) - losses(n, head, -step)).abs().sum()) / (2 * step) for head in range(2)]
            for n in range(3)
        ]
    )
    expected = slopes / slopes.norm(dim=1, keepdim=True)
    assert torch.allclose(_importance(bert, attentions, 2, split, rows), expected, atol=1e-2)


def test_a_model_without_heads_gives_what_zeros_in_their_place_give(
    model: tuple[torch.nn.Module, ValidationRows],
) -> None:
    bert, rows = model
    before = sum(weight.numel() for weight in bert.parameters())
    assert remove_heads(bert, 0.34, rows).startswith("Pruned: 2 of 6 attention heads were removed")
    assert sum(weight.numel() for weight in bert.parameters()) == before - 2 * (4 * 32 * 16 + 3 * 16)


def test_a_model_whose_heads_are_not_found_is_refused(model: tuple[torch.nn.Module, ValidationRows]) -> None:
    bert, rows = model
    layers_of(bert)[1].attention.output.dense = torch.nn.Linear(32, 32)  # another order of calls needs another shape
    layers_of(bert)[1].attention.self.query = torch.nn.Sequential(torch.nn.Linear(32, 48), torch.nn.Linear(48, 32))
    with pytest.raises(TrialError, match="the heads of this bert model cannot be removed: its layers do not begin"):
        remove_heads(bert, 0.5, rows)


def test_the_layers_with_the_least_influence_are_removed(model: tuple[torch.nn.Module, ValidationRows]) -> None:
    bert, rows = model
    bert.config.layer_types = ["first", "second", "third"]
    lowest, middle, highest = layers_of(bert)
    for weight in (*middle.attention.output.dense.parameters(), *middle.output.dense.parameters()):
        torch.nn.init.zeros_(weight)  # so it only normalises its input, which is normal
    low, least, high = influence(bert, rows.sample().inputs).tolist()
    assert abs(least) < 1e-4 < min(low, high)
    before = compute_logits(bert, rows.sample().inputs, CPU)
    assert remove_layers(bert, 1, rows).endswith("on 16 validation rows; from below: 2.")
    assert list(layers_of(bert)) == [lowest, highest] and bert.config.layer_types == ["first", "third"]
    assert torch.allclose(compute_logits(bert, rows.sample().inputs, CPU), before, atol=0.05)


@pytest.mark.parametrize(
    "prune", ["layers", "layers=0", "layers=1.5", "heads=1", "heads=0", "magnitude=0.3", "=", "x=1"]
)
def test_an_option_that_cannot_be_understood_is_refused(prune: str, swept: SweepFolder, tmp_path: Path) -> None:
    command = ["export", "tiny", "--to", str(tmp_path / "model"), "--storage", str(swept.storage), "--prune", prune]
    result = CliRunner().invoke(app, [*command, "--quantize", "int8"])
    assert result.exit_code == 2
    assert f"--prune {prune}: cannot be understood; give layers=NUMBER" in result.stderr
    assert "--quantize int8: needs --format onnx" in result.stderr


def test_heads_need_a_format_that_can_hold_them() -> None:
    assert smaller_from("heads=0.25", "int8", 0.1, "onnx") == Smaller(Prune("heads", 0.25), True, 0.1)
    with pytest.raises(ConfigError, match="--prune heads=0.25: needs --format onnx, as transformers"):
        smaller_from("heads=0.25", None, 0.1, "auto")
