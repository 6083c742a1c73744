"""Hostile encoder folders: `run` refuses them before it writes anything, and executes no code in them."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainable.tasks.classification import CLASSIFICATION

Refused = Callable[..., str]


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.fixture
def encoder(tiny_bert: str, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "encoder"))


def edit(name: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | values))

    return change


def replace(name: str, content: str | bytes) -> Callable[[Path], None]:
    return lambda folder: _write(folder / name, content)


def _write(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    """Leave only weights in the old pickle format."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def index(*files: str) -> Callable[[Path], None]:
    weights = {"weight_map": {str(i): file for i, file in enumerate(files)}}
    return replace("model.safetensors.index.json", json.dumps(weights))


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (remove("config.json"), "without config.json"),
    "empty configuration": (replace("config.json", ""), "not a valid JSON file"),
    "configuration in latin-1": (replace("config.json", b'{"a": "\xe9"}'), "not a valid JSON file"),
    "configuration that is nothing": (replace("config.json", "null"), "no configuration can be loaded"),
    "configuration nested deeply": (replace("config.json", "[" * 100_000), "no configuration can be loaded"),
    "no such kind": (edit("config.json", model_type="nope"), "`nope`"),
    "layers in words": (edit("config.json", num_hidden_layers="six"), "num_hidden_layers"),
    "fewer than no layers": (edit("config.json", num_hidden_layers=-1), "number of layers"),
    "no positions": (edit("config.json", max_position_embeddings=0), "number of layers and positions"),
    "a type that is code": (edit("config.json", dtype="os.system"), "no configuration can be loaded"),
    "code of its own": (
        edit("config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config"}),
        "contains custom code",
    ),
    "only a pickle": (pickled, "pytorch_model.bin may carry code and is not read"),
    "no weights": (remove("model.safetensors"), "no weights as safetensors"),
    "empty weights": (replace("model.safetensors", ""), "model.safetensors: "),
    "weights cut off": (cut, "model.safetensors: "),
    "weights with an endless header": (replace("model.safetensors", b"\xff" * 8 + b"{}"), "model.safetensors: "),
    "an index of weights elsewhere": (index("../../elsewhere.safetensors"), "names missing files"),
    "an index that is none": (replace("model.safetensors.index.json", "[]"), "model.safetensors.index.json: "),
}


@pytest.mark.parametrize(("damage", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_damaged_encoder(
    damage: Callable[[Path], None],
    words: str,
    encoder: Path,
    experiment: Callable[..., Path],
    run_refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (encoder / "evil.py").write_text(f"open({str(encoder / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # answers the question whether to run code
    damage(encoder)
    message = run_refused(experiment({"trial.encoder": str(encoder)}))
    assert str(encoder) in message
    assert words in message
    assert not (encoder / "ran").exists()


TOKENIZERS: dict[str, tuple[str, str | bytes]] = {
    "empty": ("tokenizer.json", ""),
    "no JSON": ("tokenizer.json", b"\x80\x04\x95"),
    "nested deeply": ("tokenizer.json", "[" * 100_000),
    "of another kind": ("tokenizer.json", '{"added_tokens": [], "model": {"type": "X"}}'),
    "no settings": ("tokenizer_config.json", "[]"),
    "settings of wrong types": ("tokenizer_config.json", '{"tokenizer_class": 3}'),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_damaged_tokenizer(
    kind: str, encoder: Path, experiment: Callable[..., Path], run_refused: Refused, call: Callable[..., Any]
) -> None:
    _write(encoder / TOKENIZERS[kind][0], TOKENIZERS[kind][1])
    message = run_refused(experiment({"trial.encoder": str(encoder)}))
    assert f"no tokenizer can be loaded from '{encoder}'" in message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_path_that_is_not_a_file(
    name: str, not_a_file: Callable[[Path], None], encoder: Path, experiment: Callable[..., Path], run_refused: Refused
) -> None:
    (encoder / name).unlink()
    not_a_file(encoder / name)
    assert str(encoder) in run_refused(experiment({"trial.encoder": str(encoder)}))


@pytest.mark.parametrize(
    "name", ["", "../../etc", "/etc/passwd", "x" * 5000, "a/b/c", "package:os.path", "package:json"]
)
def test_a_name_of_no_encoder(name: str, experiment: Callable[..., Path], run_refused: Refused) -> None:
    assert "encoder: " in run_refused(experiment({"trial.encoder": name}))


def test_a_tokenizer_without_a_vocabulary(encoder: Path, experiment: Callable[..., Path], run_refused: Refused) -> None:
    """Transformers would create one that knows no word."""
    (encoder / "tokenizer.json").unlink()
    assert "it has no vocabulary" in run_refused(experiment({"trial.encoder": str(encoder)}))


def test_a_pickle_with_the_name_of_safetensors_is_not_opened(
    encoder: Path, experiment: Callable[..., Path], run_refused: Refused
) -> None:
    bomb = pickle.dumps(Bomb(encoder / "exploded"))
    for name in ("model.safetensors", "pytorch_model.bin", "training_args.bin"):
        (encoder / name).write_bytes(bomb)
    message = run_refused(experiment({"trial.encoder": str(encoder)}))
    assert "model.safetensors: " in message
    assert not (encoder / "exploded").exists()
    pickle.loads(bomb)  # proves that the file would have run code
    assert (encoder / "exploded").exists()


@pytest.mark.parametrize("name", ["encoder.layer.1.output.dense.weight", "embeddings.word_embeddings.weight"])
def test_weights_that_the_configuration_does_not_fit(name: str, encoder: Path) -> None:
    """Otherwise transformers would silently initialise a missing tensor at random."""
    from trainable.errors import ConfigError
    from trainable.model.encoder import new_model

    file = encoder / "model.safetensors"
    weights = load_file(file)
    (stored,) = [key for key in weights if key.endswith(name)]
    save_file({key: value for key, value in weights.items() if key != stored}, file, {"format": "pt"})
    with pytest.raises(ConfigError, match=f"not those of its config.json.*{name}"):
        new_model(str(encoder), CLASSIFICATION.head(("a", "b")), 0)
    save_file(weights | {stored: weights[stored][:5].clone()}, file, {"format": "pt"})
    with pytest.raises(ConfigError, match=f"not those of its config.json.*{name}"):
        new_model(str(encoder), CLASSIFICATION.head(("a", "b")), 0)
