"""Training on a CPU: attention equals PyTorch's, dropout has the requested rate, products are compiled once."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from trainable.compute.device import autocast
from trainable.compute.kernels import CpuTraining, attend, dropout, kernels
from trainable.model.encoder import new_model
from trainable.tasks.classification import CLASSIFICATION

CPU = torch.device("cpu")
LABELS = ("negative", "neutral", "positive")
HEAD = CLASSIFICATION.head(LABELS)
Batch = dict[str, torch.Tensor]


def heads(rows: int, tokens: int, seed: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Query, key and value, laid out as encoders lay them: shape (B, 2, T, 8), tokens before heads in memory."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(rows, tokens, 2, 8, generator=generator).to(dtype).transpose(1, 2) for _ in range(3)]
    return [tensor.detach().requires_grad_() for tensor in made]


@given(
    rows=st.integers(1, 3),
    tokens=st.integers(1, 9),
    seed=st.integers(0, 99),
    mask=st.sampled_from(["none", "hides", "adds"]),
    scale=st.sampled_from([None, 0.3]),
)
def test_attention_is_that_of_pytorch(rows: int, tokens: int, seed: int, mask: str, scale: float | None) -> None:
    lengths = torch.randint(1, tokens + 1, (rows,), generator=torch.Generator().manual_seed(seed))
    seen = (torch.arange(tokens) < lengths[:, None])[:, None, None].expand(rows, 1, tokens, tokens)
    masks = {"none": None, "hides": seen, "adds": torch.zeros(seen.shape).masked_fill(~seen, -1e4)}
    one, other = heads(rows, tokens, seed), heads(rows, tokens, seed)
    expected = functional.scaled_dot_product_attention(*one, masks[mask], scale=scale)
    got = attend(*other, masks[mask], scale=scale)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    expected.square().sum().backward()
    got.square().sum().backward()
    for a, b in zip(other, one, strict=True):
        largest = float(b.grad.abs().max())  # the rounding of a sum follows its largest terms
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5 * max(1.0, largest))


@pytest.mark.parametrize("special", ["is_causal", "enable_gqa"])
def test_attention_of_another_kind_is_left_to_pytorch(special: str) -> None:
    query, key, value = heads(2, 5, 0)
    if special == "enable_gqa":
        key, value = key[:, :1], value[:, :1]
    chosen = {special: True}
    expected = functional.scaled_dot_product_attention(query, key, value, **chosen)
    torch.testing.assert_close(attend(query, key, value, **chosen), expected)


def test_attention_in_bfloat16_rounds_its_result_alone() -> None:
    half = heads(2, 7, 0, torch.bfloat16)
    with autocast("bf16", CPU):
        got = attend(*half)
    exact = functional.scaled_dot_product_attention(*(tensor.float() for tensor in half))
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, exact.bfloat16(), rtol=2**-7, atol=0)


def test_a_token_that_sees_nothing_spoils_no_gradient() -> None:
    query, key, value = heads(1, 3, 0)
    seen = torch.tensor([[True, True, False], [True, True, False], [False, False, False]])[None, None]
    got = attend(query, key, value, seen)
    got[:, :, :2].sum().backward()
    for tensor in (got, query.grad, key.grad, value.grad):
        assert tensor is not None
        assert bool(torch.isfinite(tensor).all())


def test_every_encoder_learns_the_same(encoder: str, batch: Batch) -> None:
    made = []
    for context in (kernels(CPU), torch.autograd.profiler.record_function("as it is")):
        model = new_model(encoder, HEAD, seed=0, dropout=0.0).train()
        with context:
            logits = model(**batch).logits
        functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
        made.append((logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (got, gradients), (expected, same) = made
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    assert gradients.keys() == same.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, same[name], rtol=1e-4, atol=1e-6, msg=name)


def test_every_encoder_uses_our_dropout(encoder: str, batch: Batch) -> None:
    """No dropout of an encoder that trains on a CPU is drawn by PyTorch."""
    model = new_model(encoder, HEAD, seed=0, dropout=0.2).train()
    with kernels(CPU) as mode, torch.autograd.profiler.profile() as profile:
        assert isinstance(mode, CpuTraining)
        model(**batch)
    called = {event.name for event in profile.function_events}
    assert "aten::random_" in called
    assert not called & {"aten::bernoulli_", "aten::dropout", "aten::scaled_dot_product_attention"}


def test_evaluation_keeps_the_kernels_of_pytorch() -> None:
    with torch.inference_mode():
        assert not isinstance(kernels(CPU), CpuTraining)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_requested_share(rate: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    count = 400_000
    kept = dropout(torch.ones(count, dtype=dtype), rate).float()
    values = kept.unique()
    assert values[0] == 0 and len(values) == 2
    assert float(values[1]) == pytest.approx(1 / (1 - rate), rel=1e-4 if dtype == torch.float32 else 2**-8)
    shares = (kept == 0).reshape(-1, 4).double().mean(dim=0).numpy()  # one for each part of the 64 bits
    spread = np.sqrt(rate * (1 - rate) / (count / 4))
    assert np.abs(shares - rate).max() < 4.5 * spread
    neighbours = (kept[:-1] == 0) & (kept[1:] == 0)
    assert abs(float(neighbours.double().mean()) - rate**2) < 6 * np.sqrt(rate**2 / count)


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_gradient_is_dropped_where_the_value_is(shape: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    states = torch.ones(shape, requires_grad=True)
    made = dropout(states, 0.3)
    made.sum().backward()
    assert torch.equal(made, states.grad)
    torch.manual_seed(seed)
    assert torch.equal(made, dropout(torch.ones(shape), 0.3))


@pytest.mark.parametrize(("rate", "training", "inplace"), [(0.0, True, False), (1.0, True, False), (0.4, False, False)])
def test_dropout_that_draws_nothing_is_left_to_pytorch(rate: float, training: bool, inplace: bool) -> None:
    states = torch.randn(5)
    assert torch.equal(dropout(states, rate, training, inplace), functional.dropout(states, rate, training, inplace))


def test_dropout_in_place_is_in_place() -> None:
    states = torch.ones(64)
    assert dropout(states, 0.5, inplace=True) is states
    assert int((states == 0).sum()) > 0


PRODUCTS = """
import trainable, torch
weights = torch.zeros(16, 16, dtype=torch.bfloat16)
for turn in range(2):
    for rows in range(1, 1151):
        torch.zeros(rows, 16, dtype=torch.bfloat16) @ weights
    print("turn", flush=True)
"""


def test_products_of_many_shapes_are_compiled_once() -> None:
    """Use more shapes than the 1,024 that PyTorch keeps for products on a CPU."""
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}
    environment["ONEDNN_VERBOSE"] = "profile_create"
    done = subprocess.run([sys.executable, "-c", PRODUCTS], env=environment, capture_output=True, text=True, check=True)
    first, second, _ = (turn.count("create:cache_miss") for turn in done.stdout.split("turn\n"))
    if not first:
        pytest.skip("this CPU computes products in bfloat16 without compiling any")
    assert first > 1024
    assert second == 0
