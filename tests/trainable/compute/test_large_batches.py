"""Large batches on a CPU: the results are bit-equal to those of small ones, and take less memory."""

import pytest
import torch

from trainable.compute import kernels
from trainable.compute.kernels import attend, dropout

Tensors = tuple[torch.Tensor, ...]


def attention(mask: torch.Tensor | None, rate: float, dtype: torch.dtype) -> Tensors:
    """Return the output of attention and the gradients of query, key and value; three heads, nine tokens."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(5, 9, 3, 8, generator=generator).to(dtype).transpose(1, 2) for _ in range(4)]
    inputs = [tensor.requires_grad_() for tensor in made[:3]]
    torch.manual_seed(1)
    output = attend(*inputs, mask, rate)
    return output.detach(), *torch.autograd.grad(output, inputs, made[3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("masked", [True, False])
def test_attention_of_a_large_batch_is_bit_equal(
    masked: bool, rate: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = torch.tensor([9, 1, 4, 8, 2])
    mask = (torch.arange(9) < lengths[:, None])[:, None, None].expand(5, 1, 9, 9) if masked else None
    expected = attention(mask, rate, dtype)
    monkeypatch.setattr(kernels, "LARGE", 1)
    monkeypatch.setattr("trainable.compute.large_batches.LARGE", 2 * 3 * 9 * 9)  # so that parts are of two rows
    for got, same in zip(attention(mask, rate, dtype), expected, strict=True):
        assert got.dtype == same.dtype
        assert torch.equal(got, same)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_of_a_large_batch_is_bit_equal(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for large in (2**20, 1):
        monkeypatch.setattr(kernels, "LARGE", large)
        torch.manual_seed(0)
        given = torch.randn(7, 11, dtype=dtype, requires_grad=True)
        output = dropout(given, 0.2)
        made.append((output, *torch.autograd.grad(output, given, torch.randn(7, 11, dtype=dtype))))
    for small, large_ in zip(*made, strict=True):
        assert torch.equal(small, large_)


def test_a_mask_that_trains_gets_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LARGE", 1)
    mask = torch.zeros(5, 3, 9, 9, requires_grad=True)
    heads = [torch.randn(5, 3, 9, 8) for _ in range(3)]
    attend(*heads, mask).square().sum().backward()
    assert mask.grad is not None


def test_attention_keeps_less_for_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    for large in (2**20, 1):
        monkeypatch.setattr(kernels, "LARGE", large)
        saved: dict[int, int] = {}

        def pack(tensor: torch.Tensor, saved: dict[int, int] = saved) -> torch.Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        heads = [torch.randn(4, 2, 64, 8, requires_grad=True) for _ in range(3)]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = attend(*heads, dropout_p=0.1)
        kept.append(sum(saved.values()))
        del output
    assert kept[1] < 0.55 * kept[0]
