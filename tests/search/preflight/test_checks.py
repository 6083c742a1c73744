"""The checks that the preflight makes of its results: a sentence for each mistake, `ok` without mistakes."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from search.check import Check
from search.cluster.node_check import NodeReport, check_node
from search.plan.data import check_data
from search.plan.plan import Plan, build_plan
from search.preflight.checks import batch_check, disk_check, nodes_check, precision_check, storage_check, time_check
from search.preflight.costliest import random_draw
from search.preflight.forecast import Forecaster
from search.preflight.time_forecast import TimeForecast
from search.provenance import versions
from spaces import Point
from trainable.compute.device import Arithmetic
from trainable.model.freezing import trained_weights
from trainable.preview.dry_run import DryRunResult, Line, Pace

HERE = NodeReport(versions(), "")
PACE = Pace(Line(0.01, 0.0001), Line(0.01, 0.00003))
PACES = {"source": PACE, "target": PACE}


@pytest.fixture
def forecaster(blocks: dict[str, Any], tmp_path: Path) -> Callable[..., Forecaster]:
    """Return a function that makes forecasters with another space, draw, encoder or settings of the sweep."""

    def build(
        space: dict[str, Any] | None = None, draw: Sequence[Point] = (), encoder: str = "", **sweep: Any
    ) -> Forecaster:
        changed = copy.deepcopy(blocks)
        changed["trial"] |= {"encoder": encoder} if encoder else {}
        changed["sweep"] |= {"start_with": []} | sweep
        changed["space"] = changed["space"] if space is None else space
        plan: Plan = build_plan(changed, (Path(),), "mine.yaml")
        check_data(plan, tmp_path)
        drawn = [plan.config(point) for point in draw] or random_draw(plan, 64)
        return Forecaster(plan, drawn, plan.config(plan.space.complete({})), plan.workspace(tmp_path))

    return build


def test_a_node_with_other_versions_is_named_with_each() -> None:
    other = NodeReport(HERE.versions | {"torch": "2.0.0", "transfersweep": "code 0"}, "")
    check = nodes_check({"node b": "no answer in 60 s"}, {"node a": HERE, "node c": other})
    assert check.state == "error"
    assert len(check.sentences) == 3
    assert check.sentences[0] == "node b: no answer in 60 s"
    assert check.sentences[1].startswith(f"node c: has torch 2.0.0, the driver {HERE.versions['torch']}; ")
    assert nodes_check({}, {"node a": HERE}).state == "ok"


def test_a_storage_that_a_node_does_not_share_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    sharing = check_node(str(tmp_path / "shared"), "first")
    apart = check_node(str(tmp_path / "apart"), "second")
    files = {"node a": "first", "node b": "second", "node c": "third"}
    check = storage_check(tmp_path, tmp_path / "shared", {"node a": sharing, "node b": apart, "node c": HERE}, files)
    assert check.state == "error"
    assert [sentence.partition("; ")[0] for sentence in check.sentences] == [
        f"--storage {tmp_path}: node b does not see the folder that the driver made there",
        f"--storage {tmp_path}: node c writes files there that the driver does not see",
    ]
    assert storage_check(tmp_path, tmp_path / "shared", {"node a": sharing}, files).state == "ok"


def test_a_folder_that_a_node_cannot_write_is_reported() -> None:
    assert check_node("/proc", "file").storage.startswith("cannot write there (")


def test_a_batch_that_fails_is_an_error_and_one_in_parts_a_warning() -> None:
    costliest = {"target.batch_size": 32, "target.learning_rate": 1e-3}
    failed = batch_check({"node a": DryRunResult("cpu", problems=("out of memory",))}, costliest, 0)
    assert failed.state == "error"
    assert failed.sentences == ("node a: out of memory; the most expensive settings are target.batch_size=32",)
    parts = batch_check({"node a": DryRunResult("cpu", PACES, cut={"target": 4})}, costliest, 0)
    assert parts.state == "warning"
    assert "in 4 parts" in parts.sentences[1]
    assert batch_check({"node a": DryRunResult("cpu", PACES)}, costliest, 0).state == "ok"
    assert batch_check({"node a": "no answer in 300 s"}, costliest, 0).state == "warning"


def test_the_precision_of_nodes_and_its_cost_are_reported() -> None:
    auto, slow = Arithmetic("bf16", "auto took bf16: it can"), Arithmetic("bf16", "bf16, as precision says", 26.2)
    none, one = DryRunResult("cpu", PACES), DryRunResult("cpu", PACES, arithmetic=auto)
    assert precision_check({"a": one, "b": one, "c": "no answer"}) == Check("precision", "ok", (auto.reason,))
    assert precision_check({"a": none}).state == "ok"
    emulated = precision_check({"a": DryRunResult("cpu", PACES, arithmetic=slow)})
    assert emulated.state == "warning"
    assert "26 times as long as in fp32" in emulated.sentences[1]
    other = DryRunResult("cpu", PACES, arithmetic=Arithmetic("fp32", "auto took fp32: it cannot"))
    mixed = precision_check({"a": one, "b": other})
    assert mixed.sentences[0] == "a: auto took bf16: it can; b: auto took fp32: it cannot"
    assert mixed.state == "warning"


def test_trials_that_share_a_gpu_must_fit_together() -> None:
    made = DryRunResult("A10G", PACES, gpu_bytes=7 * 2**30, gpu_total=22 * 2**30)
    assert batch_check({"node a": made}, {}, 1).state == "ok"
    check = batch_check({"node a": made}, {}, 0.25)
    assert check.state == "warning"
    assert "4 trials share a GPU of 22.0 GiB, and one takes up to 7.0 GiB" in check.sentences[1]


def test_models_that_cannot_fit_are_an_error(
    forecaster: Callable[..., Forecaster], minilm: str, tmp_path: Path
) -> None:
    assert disk_check(tmp_path, forecaster(), 2, 0).state != "error"
    many = disk_check(tmp_path, forecaster(trials=100_000, keep_best=100_000, encoder=minilm), 2, 0)
    assert many.state == "error"
    assert many.sentences[0].startswith(f"--storage {tmp_path}: ")
    assert "100004 models" in many.sentences[0]


def test_models_and_checkpoints_on_disk_are_counted(forecaster: Callable[..., Forecaster]) -> None:
    made = forecaster(space={}, trials=10, finalists=2, confirm_seeds=3, keep_best=100)
    model = 4 * trained_weights(made.costliest.encoder, 0)
    # 10 trials, 2 finalists with 3 seeds, the winner without its source with 4; a source for each seed of a finalist
    assert made.disk_bytes(2) == {
        "20 models": 20 * model,
        "2 running trials": 2 * 2 * 4 * model,
        "7 source stages": 7 * model,
    }
    assert made.disk_bytes(2, done=8)["12 models"] == 12 * model
    assert forecaster(space={}, trials=10, confirm_seeds=0).models == 10
    few = forecaster(space={}, trials=10, finalists=2, confirm_seeds=3, keep_best=1)
    assert "13 models" in few.disk_bytes(2)  # the best; with 1 + 3 seeds the finalists and one further trial


def test_time_grows_with_trials_and_falls_with_slots(forecaster: Callable[..., Forecaster]) -> None:
    few, many = forecaster(trials=10).time(PACES, 1), forecaster(trials=100).time(PACES, 1)
    assert 0 < few.low < few.high < many.high
    assert forecaster(trials=100).time(PACES, 4).high < many.high
    assert forecaster(trials=100, minutes=1).time(PACES, 1).high == 60
    assert forecaster(trials=100, scheduler="none").time(PACES, 1).low > many.low


def test_frozen_layers_and_fewer_epochs_save_time(forecaster: Callable[..., Forecaster]) -> None:
    space = {"target.frozen_layers": {"int": [0, 3]}, "target.epochs": {"int": [1, 9]}}
    slow = dict.fromkeys(PACES, Pace(Line(0.1, 0.01), Line(0.1, 0.003)))
    points = [{"target.frozen_layers": k, "target.epochs": n} for k, n in ((3, 5), (1, 5), (0, 5), (0, 9))]
    times = [forecaster(space, [point]).time(slow, 1).high for point in points]
    assert times == sorted(times)
    assert len(set(times)) == 4


@pytest.mark.parametrize(
    ("low", "high", "slots", "words"),
    [
        (245, 560, 2, "about 4 to 9 minutes on 2 slots"),
        (20, 45, 1, "about 20 to 45 seconds on 1 slot"),
        (300, 301, 1, "about 5 minutes on 1 slot"),
        (5000, 9000, 8, "about 1.4 to 2.5 hours on 8 slots"),
        (100 * 3600, 200 * 3600, 8, "about 100 to 200 hours on 8 slots"),
    ],
)
def test_a_forecast_in_words(low: float, high: float, slots: int, words: str) -> None:
    assert str(TimeForecast(low, high, slots)) == words


def test_the_forecast_says_how_many_trials_fit(forecaster: Callable[..., Forecaster]) -> None:
    def fit(elapsed: float = 0.0, **settings: Any) -> int:
        found = forecaster(trials=1000, **settings).time(PACES, 1, elapsed).fit
        assert found is not None
        return found

    assert 0 < fit(minutes=1) < fit(minutes=5) < 1000
    assert fit(minutes=1, elapsed=60) == 0
    assert fit(minutes=5, confirm_seeds=0) > fit(minutes=5, confirm_seeds=2)
    assert forecaster(trials=9).time(PACES, 1).fit is None
    words = "about 1 seconds on 1 slot;"
    assert str(TimeForecast(1, 1, 1, 9, 40, "5 minutes")) == f"{words} about 9 of 40 trials fit in 5 minutes"
    assert str(TimeForecast(1, 1, 1, 0, 40, "1 minute")) == f"{words} none of 40 trials fits in 1 minute"
    assert str(TimeForecast(1, 1, 1, 9, None, "1 minute")) == f"{words} about 9 trials fit in 1 minute"
    assert str(TimeForecast(1, 1, 1, 0, None, "1 minute")) == f"{words} no trial fits in 1 minute"


def test_without_a_number_of_trials_as_many_are_forecast_as_fit(forecaster: Callable[..., Forecaster]) -> None:
    with_number = forecaster(trials=1000, minutes=5).time(PACES, 1)
    found = forecaster(trials=None, minutes=5).time(PACES, 1)
    assert (found.fit, found.trials, found.limit) == (with_number.fit, None, "5 minutes")
    hours = forecaster(trials=None, worker_hours=0.05, workers_per_trial=2).time(PACES, 1)
    assert (hours.limit, hours.high) == ("0.05 worker-hours", 90)
    assert forecaster(trials=None).time(PACES, 1) == forecaster(trials=20).time(PACES, 1)


def test_the_slowest_node_decides(forecaster: Callable[..., Forecaster]) -> None:
    slow = {name: Pace(Line(1.0, 0.01), Line(1.0, 0.01)) for name in PACES}
    made = forecaster()
    both = time_check(made, {"a": DryRunResult("cpu", PACES), "b": DryRunResult("cpu", slow), "c": "no answer"}, 2)
    assert both == time_check(made, {"b": DryRunResult("cpu", slow)}, 2)
    assert time_check(made, {"c": "no answer"}, 2).state == "warning"
    assert time_check(made, {"b": DryRunResult("cpu", slow)}, 2, load=(0.3, 2)) == both
    busy = time_check(made, {"b": DryRunResult("cpu", slow)}, 2, load=(9.8, 2))
    assert busy.sentences[0] == both.sentences[0]
    assert "about 9.8 other processes compute on this machine's 2 cores" in busy.sentences[1]
