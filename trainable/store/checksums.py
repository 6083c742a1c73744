"""Writes checksums beside files, so that a reader notices a file that was cut short or altered."""

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

CHECKSUMS_FILE = "sha256.json"
"""File with the checksums of all other files of a folder; written last."""


def write_checksums(folder: Path) -> None:
    """Write the checksums of a folder's files into it."""
    digests = {file.name: _digest(file) for file in sorted(folder.iterdir()) if file.is_file()}
    (folder / CHECKSUMS_FILE).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def write_with_checksums(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a folder with checksums atomically; `write` fills a temporary folder first."""

    def write_then_checksums(into: Path) -> None:
        write(into)
        write_checksums(into)

    write_folder(folder, write_then_checksums)


def verify_checksums(folder: Path) -> None:
    """Compare a folder with its checksums.

    Raises:
        DamagedError: if a file is missing, cut short or altered.
    """
    try:
        digests = json.loads((folder / CHECKSUMS_FILE).read_bytes())
        damaged = [name for name, digest in digests.items() if _digest(folder / name) != digest]
    except (OSError, ValueError, AttributeError):
        raise DamagedError(f"{folder}: missing or incomplete: a file or the checksums are missing") from None
    if damaged:
        raise DamagedError(f"{folder}: damaged on disk, as their checksums show: {', '.join(damaged)}")


def verify_or_warn(folder: Path, consequence: str) -> Path | None:
    """Return the folder if its checksums match; else log a warning that ends in the `consequence`, and return None."""
    try:
        verify_checksums(folder)
    except DamagedError as error:
        logging.getLogger(__name__).warning("%s; %s", error, consequence)
        return None
    return folder


def digest_of(tensors: Mapping[str, torch.Tensor], *facts: str) -> str:
    """Return the SHA-256 (hex) of tensors, their names, shapes and types, and of some further facts."""
    digest = hashlib.sha256(repr(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_of_json(facts: object) -> str:
    """Return the SHA-256 (hex) of plain values as JSON with sorted keys; its first 32 digits name cache entries."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_tensors(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Write tensors, possibly none, with their checksum to a safetensors file, for `is_undamaged`."""
    save_file(tensors, file, metadata={"sha256": digest_of(tensors)})


def is_undamaged(file: Path) -> bool:
    """Return whether a file that `save_tensors` wrote exists undamaged; log a warning if it is damaged."""
    try:
        facts = file.stat()
        return _has_its_digest(file, facts.st_ino, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return False


@lru_cache(maxsize=256)  # a process reads the whole file once, and again if the file has changed
def _has_its_digest(file: Path, *identity: int) -> bool:
    try:
        with safe_open(file, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a mapping)
            whole: bool = (stored.metadata() or {}).get("sha256") == digest_of(tensors)
    except SafetensorError:
        whole = False
    if not whole:
        logging.getLogger(__name__).warning("%s: damaged on disk, as its checksum shows; it is computed again", file)
    return whole


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
