"""The numbers behind `transfersweep inspect` for images: rows, classes, repeated images, their sizes, damaged ones."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainable.data.checks.images import FORMATS
from trainable.errors import ConfigError
from trainable.inputs.decode import pixels_of, tokens_of_image
from trainable.model.image_processor import image_processor
from trainable.preview.inspection import Counts, counts_of
from trainable.settings.dataset import Dataset
from trainable.tasks.registry import TASKS, read_dataset

PERCENTILES = (0, 5, 50, 95, 100)


@dataclass(frozen=True)
class ImageInspection(Counts):
    """The result of `transfersweep inspect` for images."""

    sizes: dict[int, tuple[int, int]]
    """Shorter and longer side in pixels, each at percentiles of the training images."""
    formats: dict[str, int]
    """Number of training images by format, the most frequent first."""
    image_size: int
    """Pixels to which the encoder's image processor resizes both sides."""
    tokens: int
    """Tokens of such an image in the encoder; of a convolutional network the places of its last layer."""


def inspect_images(dataset: Dataset, encoder: str, data_folders: Sequence[Path] = (Path(),)) -> ImageInspection:
    """Count the rows of a data set of images and measure them, even if it has mistakes.

    Args:
        dataset: settings of the data.
        encoder: a folder, or a hub name, with image processor and config.
        data_folders: folders in which relative file names are looked up.

    Raises:
        ConfigError: if nothing can be counted: a missing file or column, no image processor, or no usable row.
    """
    splits, problems = read_dataset(dataset, data_folders)
    if not len(splits.train):
        raise ConfigError(problems or f"{splits.name}: there is no training row")
    processor = image_processor(encoder, None)
    try:
        pixels_of(splits.by_name(), processor, encoder, None)
    except ConfigError as error:
        problems = [*problems, *error.problems]
    sides, formats = [], list[str]()
    for image in splits.train.images or ():
        with Image.open(io.BytesIO(image.read()), formats=FORMATS) as opened:
            sides.append(sorted(opened.size))
            formats.append(opened.format or "unknown")
    at = {percent: np.percentile(sides, percent, axis=0, method="inverted_cdf") for percent in PERCENTILES}
    return ImageInspection(
        **vars(counts_of(splits, TASKS[dataset.task], problems)),
        sizes={percent: (int(short), int(long)) for percent, (short, long) in at.items()},
        formats={name: formats.count(name) for name in sorted(set(formats), key=formats.count, reverse=True)},
        image_size=processor.size,
        tokens=tokens_of_image(encoder, processor.size),
    )
