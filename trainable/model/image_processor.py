"""What an encoder's image processor does: resize images to a square of pixels, and normalise them.

The processor is that of transformers which computes with Pillow. It resizes; the normalisation is left to the batches,
so that the pixels can be kept as bytes.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainable.data.checks.images import FORMATS
from trainable.errors import ConfigError
from trainable.model.pretrained import load_config, load_image_processor, reads_images
from trainable.store.checksums import digest_of_json


@dataclass(frozen=True)
class ImageProcessor:
    """An image processor for square images of one size."""

    size: int
    """Height and width of the images, in pixels."""
    scale: tuple[float, ...]
    """By channel: the factor on a pixel's value of 0 to 255."""
    shift: tuple[float, ...]
    """By channel: what is added to the product."""
    processor: Any
    """The processor of transformers, set to this size."""

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of everything that decides the pixels of an image and their normalisation."""
        return digest_of_json(json.loads(self.processor.to_json_string()))

    def pixels(self, content: bytes) -> NDArray[np.uint8]:
        """Decode and resize an image, shape (size, size, channels).

        Raises:
            OSError: if it is damaged; Pillow also raises ValueError and SyntaxError.
        """
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # As `load_image` of transformers does for its pipelines.
            decoded = ImageOps.exif_transpose(image).convert("RGB")
        made = self.processor(decoded, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        return np.ascontiguousarray(np.moveaxis(np.asarray(made, dtype=np.uint8), 0, -1))


def image_processor(encoder: str, size: int | None) -> ImageProcessor:
    """Return the image processor of an encoder.

    Args:
        encoder: the folder or hub name.
        size: the setting `image_size`.

    Raises:
        ConfigError: if the encoder reads no images, has no image processor, or it does not give square images.
    """
    config = load_config(encoder)
    if not reads_images(config):
        raise ConfigError(
            f"encoder: {encoder!r} ({config.model_type}) reads no images, which the data set has; choose a model for "
            "images, such as google/vit-base-patch16-224"
        )
    return _loaded(encoder, size)


@lru_cache(maxsize=16)
def _loaded(encoder: str, size: int | None) -> ImageProcessor:
    processor = load_image_processor(encoder)
    if size is not None:
        processor = load_image_processor(encoder, **_sizes(processor, size))
    try:
        made = processor(Image.new("RGB", (40, 24)), return_tensors="np")["pixel_values"][0]
    except Exception as error:  # the processors of transformers check their settings only here
        raise ConfigError(f"encoder: {encoder!r}: its image processor fails ({error!s:.200})") from None
    if made.ndim != 3 or made.shape[0] != 3 or made.shape[1] != made.shape[2]:
        raise ConfigError(
            f"encoder: {encoder!r}: its image processor gives images of the shape {made.shape}, not of 3 channels and "
            "equal sides; set `image_size`, or choose another encoder"
        )
    factor = float(processor.rescale_factor) if processor.do_rescale else 1.0
    mean = np.broadcast_to(processor.image_mean if processor.do_normalize else 0.0, 3).tolist()
    spread = np.broadcast_to(processor.image_std if processor.do_normalize else 1.0, 3).tolist()
    scale = tuple(factor / s for s in spread)
    return ImageProcessor(made.shape[1], scale, tuple(-m / s for m, s in zip(mean, spread, strict=True)), processor)


def _sizes(processor: Any, size: int) -> dict[str, dict[str, int]]:
    """Return the settings with which a processor gives images of a size; one that crops keeps the share it cuts off."""
    given, crops = processor.size.shortest_edge, bool(processor.do_center_crop)
    square = {"height": size, "width": size}
    cut = {"crop_size": square} if crops else {}
    if given is None:
        return {"size": square, **cut}
    return {"size": {"shortest_edge": round(size * given / processor.crop_size.height) if crops else size}, **cut}
