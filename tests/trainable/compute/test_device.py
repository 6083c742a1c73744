"""The precision that a device uses, why, and the slowdown if it is emulated."""

from functools import partial

import pytest
import torch

from trainable.compute.device import Arithmetic, choose_arithmetic, matmul_peak

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("able", "computed"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, Arithmetic("bf16", "auto took bf16: the CPU has avx512_bf16")),
        (
            {"avx512_bf16": True, "amx_bf16": True},
            Arithmetic("bf16", "auto took bf16: the CPU has avx512_bf16 and amx_bf16"),
        ),
        ({"avx2": True}, Arithmetic("fp32", "auto took fp32: the CPU has no avx512_bf16 or amx_bf16")),
    ],
)
def test_auto_says_what_it_took_and_why(
    able: dict[str, bool], computed: Arithmetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_arithmetic("auto", CPU) == computed
    assert not computed.warning


@pytest.mark.parametrize("able", [{}, {"avx512_bf16": True}])
def test_only_emulated_bfloat16_gives_a_warning(able: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr("trainable.compute.device._slowdown", lambda device: 26.0)
    assert not choose_arithmetic("fp32", CPU).warning
    assert ("26 times as long as in fp32" in choose_arithmetic("bf16", CPU).warning) == (not able)


@pytest.mark.parametrize(("slowdown", "said"), [(1.0, ""), (26.2, "26 times"), (104.0, "104 times")])
def test_a_slowdown_is_a_rounded_factor(slowdown: float, said: str) -> None:
    warning = Arithmetic("bf16", "", slowdown).warning
    assert said in warning
    assert bool(warning) == bool(said)


def test_the_slowdown_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    threads = torch.get_num_threads()
    assert choose_arithmetic("bf16", CPU).slowdown >= 1
    assert torch.get_num_threads() == threads


def test_the_peak_of_a_slow_precision_is_measured_on_small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def timed(call: partial, device: torch.device) -> float:
        sizes.append(call.args[0].shape[0])
        return 2 * sizes[-1] ** 3 / 1e9

    monkeypatch.setattr("trainable.compute.device._timed", timed)
    assert matmul_peak.__wrapped__(CPU, "bf16") == pytest.approx(1e9)
    assert set(sizes) == {128}
