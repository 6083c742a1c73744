"""The pixels of images, computed with nothing but the image processor of a folder, as other tools do."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers.image_utils import load_image

from trainable.data.image_file import ImageFile
from trainable.model.pretrained import load_image_processor

_BATCH = 32


def pixels_of(folder: Path, images: Sequence[ImageFile]) -> Iterator[NDArray[np.float32]]:
    """Return images in batches, shape (B, channels, height, width)."""
    processor = load_image_processor(str(folder))
    for start in range(0, len(images), _BATCH):
        batch = [load_image(Image.open(io.BytesIO(image.read()))) for image in images[start : start + _BATCH]]
        yield np.asarray(processor(batch, return_tensors="np")["pixel_values"], dtype=np.float32)
