"""Two workers give the numbers of one; a worker group survives the end of its trials, however they end."""

import json
from pathlib import Path
from typing import Any

import pytest
from writers import save_writer, translations

from tests.trainable.workers.conftest import TWO, WILD, run_alone, with_target
from trainable.checkpoint import load_trained
from trainable.errors import TrialError
from trainable.model.pooling import with_pooling
from trainable.progress import Report
from trainable.settings.config import build_config
from trainable.workers.worker_group import GroupRunner
from trainable.workspace import Workspace


def _group_reports(group: GroupRunner, settings: dict[str, Any], resume: Path | None = None) -> list[Report]:
    group.start(settings, resume)
    reports = [group.next_report()]
    while not (reports[-1].last and reports[-1].stage == "target"):
        reports.append(group.next_report())
    return reports


def _assert_same(ours: list[Report], theirs: list[Report]) -> None:
    assert [(r.stage, r.step, r.last) for r in ours] == [(r.stage, r.step, r.last) for r in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5, abs=1e-6)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_are_one(cluster: None, base: dict[str, Any], tmp_path: Path, broken_encoder: str) -> None:
    """One group runs a complete trial, a stopped one, failing ones, a checkpoint, a resumed trial, and ends."""
    first = with_target(base, source=True, epochs=3)
    # Batches that do not halve, and layers without gradients on all ranks.
    second = with_target(base, epochs=2, batch_size=7, learning_rate=5e-4, unfreeze_fraction=0.6)
    group = GroupRunner(Workspace(tmp_path / "group"), TWO)
    expected = run_alone(first, tmp_path / "alone")
    _assert_same(_group_reports(group, first), expected)
    (tmp_path / "model").mkdir()
    group.save(tmp_path / "model")
    model, config = load_trained(tmp_path / "model")
    assert config == with_pooling(build_config(first))
    assert model.config.id2label == {0: "negative", 1: "positive"}

    group.start(second, None)
    group.next_report()  # and stopped in the middle
    _assert_same(_group_reports(group, second), run_alone(second, tmp_path / "alone"))

    data = {"task": "sequence_to_sequence", "json": str(translations(tmp_path / "words.jsonl", 60))}
    texts = with_target({**base, "encoder": save_writer("t5", tmp_path / "t5")}, dataset=data, batch_size=7)
    _assert_same(_group_reports(group, texts), run_alone(texts, tmp_path / "alone"))

    for wrong, words in (
        (with_target(base, frozen_layers=9), "9 is more than"),
        (with_target(base, **WILD), "loss is"),
    ):
        group.start(wrong | {"target": wrong["target"] | {"epochs": 9}}, None)
        with pytest.raises(TrialError, match=words):
            while True:
                group.next_report()

    group.start(with_target(base | {"encoder": broken_encoder}), None)
    with pytest.raises(TrialError, match="ValueError: .*chunk"):
        group.next_report()

    group.start(first, None)
    heard = [group.next_report() for _ in range(3)]  # the source's scores, the kept head's, the first epoch's
    (tmp_path / "half").mkdir()
    group.save(tmp_path / "half")
    assert not json.loads((tmp_path / "half" / "trial.json").read_text())["finished"]
    rest = _group_reports(group, first, tmp_path / "half")
    assert [(r.stage, r.step) for r in (heard[0], rest[0])] == [("source", 0)] * 2  # it is trained
    _assert_same([*heard[1:], *rest[1:]], expected[2:])

    for epochs in (1, 2):  # the second stage continues from the first one's epoch checkpoint, on both ranks
        longer = with_target(base, source=True, epochs=1)
        longer["source"] |= {"schedule": "constant", "epochs": epochs}
        _assert_same(_group_reports(group, longer), run_alone(longer, tmp_path / "alone"))

    group.close()
    assert not group._thread.is_alive()
