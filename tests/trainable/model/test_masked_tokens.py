"""A masked language model gives the same sums whether its head computes all tokens or only the hidden ones."""

import pytest
import torch
import transformers
from encoder_kinds import KINDS, MORE
from torch.nn import functional
from transformers import AutoModelForMaskedLM

from trainable.model.masked_tokens import at_hidden_tokens

NO_HEAD = ("xlnet", "gpt2", "opt", "biogpt")


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
def test_sums_are_those_of_the_whole_head(kind: str) -> None:
    config = (KINDS | MORE)[kind](100)
    if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        pytest.skip("transformers has no masked language model of this kind")
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config).eval()
    ids = torch.randint(5, 100, (3, 8))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    places, hidden_ids = torch.tensor([1, 3, 17, 20, 22]), torch.randint(5, 100, (5,))
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[places]
        losses = functional.cross_entropy(whole, hidden_ids, reduction="none")
        hits = whole.argmax(-1) == hidden_ids
        states = model.base_model(input_ids=ids, attention_mask=mask)[0]
        added = at_hidden_tokens(model, pairs=True)
        sums = model(hidden_places=places, hidden_ids=hidden_ids, input_ids=ids, attention_mask=mask).logits
        expected_next = dict(model.named_modules())["next_sentence"](states[:, 0]).squeeze(1)
    assert added == {"next_sentence.weight", "next_sentence.bias"}
    assert sums[:, 3].tolist() == pytest.approx(expected_next.tolist(), abs=1e-5)
    for row, chosen in enumerate(([0, 1], [], [2, 3, 4])):
        expected = [float(losses[chosen].sum()), len(chosen), int(hits[chosen].sum())]
        assert sums[row, :3].tolist() == pytest.approx(expected, abs=1e-5)
