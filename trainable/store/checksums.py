"""Checksums beside what is written, so that a file that was cut short or altered is noticed when it is read."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from trainable.errors import DamagedError
from trainable.store.files import write_folder

SEAL = "sha256.json"
"""The file in a folder with the checksums of all others; written last."""


def seal(folder: Path) -> None:
    """Write the checksums of a folder's files into it."""
    digests = {file.name: _digest(file) for file in sorted(folder.iterdir()) if file.is_file()}
    (folder / SEAL).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def write_sealed(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder that appears whole, with checksums, or not at all."""

    def whole(into: Path) -> None:
        write(into)
        seal(into)

    write_folder(folder, whole)


def check(folder: Path) -> None:
    """Compare a folder with its checksums.

    Raises:
        DamagedError: if a file is missing, cut short or altered.
    """
    try:
        digests = json.loads((folder / SEAL).read_bytes())
        damaged = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    except (OSError, ValueError, AttributeError):
        raise DamagedError(f"{folder}: is gone or not whole: files are missing, or their checksums") from None
    if damaged:
        raise DamagedError(f"{folder}: damaged on disk, by their checksums: {', '.join(damaged)}")


def intact(folder: Path, instead: str) -> Path | None:
    """The folder, if it is as it was written; else none, and the log says what is done `instead`."""
    try:
        check(folder)
    except DamagedError as error:
        logging.getLogger(__name__).warning("%s; %s", error, instead)
        return None
    return folder


def digest_of(tensors: Mapping[str, torch.Tensor], *facts: str) -> str:
    """SHA-256 (hex) over tensors, their names and what else belongs to them."""
    digest = hashlib.sha256(repr(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_of_json(facts: object) -> str:
    """SHA-256 (hex) over plain values, by their JSON with sorted keys; its first 32 digits name cache entries."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_tensors(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write tensors, none among them too, to a safetensors file that `is_whole` can tell from a damaged one."""
    save_file(tensors, file, metadata={"sha256": digest_of(tensors)})


def is_whole(file: Path) -> bool:
    """Whether there is a file that `save_tensors` wrote; a damaged one is told of in the log."""
    try:
        facts = file.stat()
        return _has_its_digest(file, facts.st_ino, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=256)  # a file is read through once a process, and again where it was touched
def _has_its_digest(file: Path, *identity: int) -> bool:
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a mapping)
            whole: bool = (stored.metadata() or {}).get("sha256") == digest_of(tensors)
    except SafetensorError:
        whole = False
    if not whole:
        logging.getLogger(__name__).warning("%s: damaged on disk, by its checksum; it is computed again", file)
    return whole


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
