"""A tokenizer with more tokens or token types than its encoder has embeddings is refused before anything starts."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer, RobertaConfig, RobertaModel

from trainable.errors import ConfigError
from trainable.inputs.prepare import tokenized_dataset_of
from trainable.preview.inspection import inspect_dataset
from trainable.settings.config import build_config
from trainable.settings.dataset import Dataset
from trainable.workspace import Workspace


def test_added_tokens(tiny_bert: str, base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    words = len(tokenizer)
    tokenizer.add_tokens(["<user>", "<url>"])
    tokenizer.save_pretrained(tmp_path)
    AutoModel.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    config = build_config({**base, "encoder": str(tmp_path)})
    with pytest.raises(ConfigError, match=rf"{words + 2:,} tokens, but the encoder has {words:,} embeddings") as caught:
        tokenized_dataset_of(config, config.target, workspace)
    (problem,) = caught.value.problems
    assert str(tmp_path) in problem
    seen = inspect_dataset(config.dataset_of(config.target), str(tmp_path))
    assert seen.problems == tuple(caught.value.problems)


def test_token_types_of_pairs(tiny_bert: str, base: dict[str, Any], workspace: Workspace, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    one_type = RobertaConfig(vocab_size=len(tokenizer), pad_token_id=0, type_vocab_size=1, **sizes)
    RobertaModel(one_type).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    rows = "".join(f"some text {i},another {i},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "pairs.csv").write_text("text_a,text_b,label\n" + rows)
    target = {"dataset": {"csv": str(tmp_path / "pairs.csv")}}
    config = build_config({**base, "encoder": str(tmp_path / "encoder"), "target": target})
    with pytest.raises(ConfigError, match="knows 1 token type, but its tokenizer gives 2 to pairs") as caught:
        tokenized_dataset_of(config, config.target, workspace)

    # The advice of the message works.
    (setting,) = re.findall(r'"model_input_names": \[.*?\]', str(caught.value))
    file = tmp_path / "encoder" / "tokenizer_config.json"
    file.write_text(file.read_text().replace("{", "{" + setting + ",", 1))
    train = tokenized_dataset_of(config, config.target, workspace).splits["train"]
    assert "token_type_ids" not in train.for_stage(config.target).inputs.batch(np.arange(2))


@pytest.mark.parametrize("limit", [None, 40])
def test_advice_stays_within_the_encoders_positions(tiny_bert: str, limit: int | None, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.model_max_length = limit or 10**30
    tokenizer.save_pretrained(tmp_path / "encoder")
    AutoModel.from_pretrained(tiny_bert).save_pretrained(tmp_path / "encoder")
    rows = [f"{'word ' * (300 if i == 5 else 3)}{i},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    seen = inspect_dataset(Dataset(csv=str(tmp_path / "texts.csv")), str(tmp_path / "encoder"))
    assert seen.positions == (limit or 64)
    assert max(cost.padding_length for cost in seen.costs) <= seen.positions
