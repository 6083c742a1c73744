"""The token cache is invisible, and subsets are stratified and nested."""

import os
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel, AutoTokenizer, TapasConfig

from trainable.errors import ConfigError
from trainable.inputs import prepare as module
from trainable.inputs.prepare import TokenizedDataset, prepare
from trainable.settings.dataset import Dataset


@pytest.fixture(autouse=True)
def _fresh_process() -> None:
    module._prepare.cache_clear()


def _content(tokenized: TokenizedDataset) -> dict[str, list[list[int]]]:
    return {
        split: encoded.tokens.batch(np.arange(len(encoded.tokens)), 32)["input_ids"].tolist()
        for split, encoded in tokenized.splits.items()
    }


def test_cache_changes_nothing_and_is_mapped(films_csv: Path, tiny_bert: str, tmp_path: Path) -> None:
    dataset = Dataset(csv=films_csv.name)
    plain = prepare(dataset, tiny_bert, [films_csv.parent])
    written = prepare(dataset, tiny_bert, [films_csv.parent], tmp_path)
    module._prepare.cache_clear()
    read = prepare(dataset, tiny_bert, [films_csv.parent], tmp_path)
    assert _content(plain) == _content(written) == _content(read)
    assert plain.fingerprint == read.fingerprint
    assert not read.splits["train"].tokens.sequences[0].ids.flags.owndata  # the file's pages, no copy
    assert [file.suffix for file in tmp_path.iterdir()] == [".safetensors"]


def test_an_encoder_that_cannot_take_what_its_tokenizer_gives(films_csv: Path, tiny_bert: str, tmp_path: Path) -> None:
    """TAPAS wants seven types for each token; it is refused by name, and nothing is kept."""
    encoder, cache = str(tmp_path / "tapas"), tmp_path / "cache"
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    AutoModel.from_config(TapasConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(encoder)
    tokenizer.save_pretrained(encoder)
    with pytest.raises(ConfigError) as caught:
        prepare(Dataset(csv=films_csv.name), encoder, [films_csv.parent], cache)
    (problem,) = caught.value.problems
    begin = f"encoder: {encoder!r} (tapas) cannot be run on the input_ids and attention_mask and token_type_ids of its"
    assert problem.startswith(begin)
    assert "IndexError: too many indices" in problem
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_cache_is_rebuilt(films_csv: Path, tiny_bert: str, tmp_path: Path, damage: str) -> None:
    dataset = Dataset(csv=films_csv.name)
    whole = prepare(dataset, tiny_bert, [films_csv.parent], tmp_path)
    expected = _content(whole)
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    bad = {"truncated": good[:-50], "flipped": good[:-50] + bytes([good[-50] ^ 1]) + good[-49:], "empty": b""}[damage]
    replacement = tmp_path / "replacement"
    replacement.write_bytes(bad)
    os.replace(replacement, file)  # as another file: the first one is still mapped
    module._prepare.cache_clear()
    assert _content(prepare(dataset, tiny_bert, [films_csv.parent], tmp_path)) == expected
    assert file.read_bytes() == good


def test_second_call_is_the_same_object_until_the_file_changes(films_csv: Path, tiny_bert: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(films_csv.read_bytes())
    first = prepare(Dataset(csv="copy.csv"), tiny_bert, [tmp_path])
    assert prepare(Dataset(csv="copy.csv"), tiny_bert, [tmp_path]) is first
    copy.write_text(copy.read_text(encoding="utf-8") + "one more row,positive\n", encoding="utf-8")
    assert prepare(Dataset(csv="copy.csv"), tiny_bert, [tmp_path]).fingerprint != first.fingerprint


def test_fingerprint_knows_the_tokenizer(films_csv: Path, tiny_bert: str, minilm: str) -> None:
    prints = {prepare(Dataset(csv=str(films_csv)), encoder, [Path()]).fingerprint for encoder in (tiny_bert, minilm)}
    assert len(prints) == 2


def test_pairs_survive_the_cache(tiny_bert: str, tmp_path: Path) -> None:
    rows = [f"the film {i},a film {i} that is,{i % 2}" for i in range(20)]
    (tmp_path / "pairs.csv").write_text("\n".join(["text_a,text_b,label", *rows]))
    dataset = Dataset(csv="pairs.csv")
    first = _content(prepare(dataset, tiny_bert, [tmp_path], tmp_path / "cache"))
    module._prepare.cache_clear()
    assert _content(prepare(dataset, tiny_bert, [tmp_path], tmp_path / "cache")) == first


def test_no_tokenizer_is_one_sentence(films_csv: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="encoder: no tokenizer can be loaded from"):
        prepare(Dataset(csv=str(films_csv)), str(tmp_path), [Path()])
