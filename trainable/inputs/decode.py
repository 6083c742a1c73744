"""Decodes the images of a data set once, and keeps the pixels in a file for other processes and later sweeps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, __version__
from safetensors import safe_open

from trainable.data.examples import Examples
from trainable.data.image_file import ImageFile
from trainable.data.message_text import plural
from trainable.errors import ConfigError
from trainable.inputs.pixels import Pixels
from trainable.model.encoder import model_and_parts
from trainable.model.image_processor import ImageProcessor
from trainable.model.layers import name_of
from trainable.store.checksums import digest_of_json, is_undamaged, save_tensors
from trainable.store.files import CACHE_BYTES, longest_unused, write_file

_SHOWN = 5  # damaged images that a message names


def pixels_of(
    tables: Mapping[str, Examples], processor: ImageProcessor, encoder: str, cache: Path | None
) -> dict[str, Pixels]:
    """Return the pixels of all images of a data set, from the cache if they are in it.

    Args:
        tables: the rows of each split.
        processor: resizes the images.
        encoder: the folder or hub name of the encoder, which must accept images of this size.
        cache: folder in which the pixels are kept; None: only in memory.

    Raises:
        ConfigError: naming damaged images, or saying that the encoder does not take images of this size.
    """
    tokens = tokens_of_image(encoder, processor.size)
    digests = [digest for table in tables.values() for digest in table.text]
    images = [image for table in tables.values() for image in table.images or ()]
    if cache is None:
        stored = _decoded(images, processor)
    else:
        file = cache / f"pixels-{digest_of_json([1, __version__, processor.fingerprint, digests])[:32]}.safetensors"
        stored = _from_cache(file, images, processor)
    pixels, start = {}, 0
    for split, table in tables.items():
        part = stored[start : start + len(table)]
        pixels[split] = Pixels(part, tuple(table.text), processor.scale, processor.shift, tokens)
        start += len(table)
    return pixels


def _from_cache(file: Path, images: Sequence[ImageFile], processor: ImageProcessor) -> NDArray[np.uint8]:
    """Return the pixels in a file, memory-mapped; write the file first if it is missing or damaged."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not is_undamaged(file):
            tensors = {"pixels": torch.from_numpy(_decoded(images, processor))}
            for unused in longest_unused(file.parent.glob("pixels-*.safetensors"), CACHE_BYTES):
                unused.unlink(missing_ok=True)
            write_file(file, lambda into: save_tensors(tensors, into))
    os.utime(file)  # the modification time marks the last use
    with safe_open(file, framework="pt") as stored:
        found: NDArray[np.uint8] = stored.get_tensor("pixels").numpy()
    return found


def _decoded(images: Sequence[ImageFile], processor: ImageProcessor) -> NDArray[np.uint8]:
    """Decode and resize images, shape (N, S, S, C).

    Raises:
        ConfigError: naming the damaged ones.
    """
    pixels = np.zeros((len(images), processor.size, processor.size, 3), dtype=np.uint8)

    def decode(row: int) -> str:
        try:
            pixels[row] = processor.pixels(images[row].read())
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{images[row].where}: the image {images[row].name!r:.80} is damaged: {error!s:.100}"
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow lets other threads run while it decodes
        problems = list(filter(None, threads.map(decode, range(len(images)))))
    if problems:
        more = len(problems) - _SHOWN
        further = [f"{plural(more, 'more image')} damaged"] if more > 0 else []
        raise ConfigError([*problems[:_SHOWN], *further])
    return pixels


@lru_cache(maxsize=64)
def tokens_of_image(encoder: str, size: int) -> int:
    """Return how many tokens, or places of its last layer, an encoder has for an image; no weights are read.

    Args:
        encoder: the folder or hub name.
        size: height and width of the image, in pixels.

    Raises:
        ConfigError: if it does not take images of this size.
    """
    model, _ = model_and_parts(encoder, "first")
    model.eval()
    try:
        with torch.no_grad():
            states = model.base_model(pixel_values=torch.zeros(1, 3, size, size))[0]
    except Exception as error:  # a model may raise anything
        raise ConfigError(
            f"image_size: {name_of(model)} cannot be run on images of {size} pixels "
            f"({type(error).__name__}: {error!s:.200}); take another size"
        ) from None
    tokens: int = states.shape[1] if states.ndim == 3 else states[0, 0].numel()
    return tokens
