"""Images as pixels: decoded and resized once to bytes, later normalised, and for training cropped and mirrored.

Shapes: N rows of the split, B rows of a batch, S height and width, C channels, T tokens of an image in the encoder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from trainable.compute.forward import REAL_TOKENS
from trainable.inputs.draws import uniform
from trainable.seeds import seed_of
from trainable.settings.stage import Stage

_AREA, _LEFT, _TOP, _MIRROR = range(4)  # what a random number decides


@dataclass(frozen=True)
class Pixels:
    """The pixels of N images."""

    images: NDArray[np.uint8]
    """Shape (N, S, S, C); may be memory-mapped."""
    digests: tuple[str, ...]
    """The SHA-256 (hex) of each image's file."""
    scale: tuple[float, ...]
    """By channel: the factor on a pixel's value."""
    shift: tuple[float, ...]
    """By channel: what is added to the product."""
    tokens: int
    """T: of a Vision Transformer its patches and special tokens, of another encoder the places of its last layer."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def inputs(self, rows: NDArray[np.int64], stage: Stage) -> PixelInputs:
        """Return rows as the input of a stage."""
        return PixelInputs(self, rows, stage.image_crop, stage.image_flip)

    def longest(self) -> int:
        """Return T."""
        return self.tokens

    def keys(self) -> list[tuple[str, str | None]]:
        """Return a pair of strings for each row; equal images have equal pairs."""
        return [(digest, None) for digest in self.digests]

    def followed_by(self, other: Pixels) -> Pixels:
        """Return these rows, then those of another split."""
        images = np.concatenate([self.images, other.images])
        return replace(self, images=images, digests=(*self.digests, *other.digests))


@dataclass(frozen=True)
class PixelInputs:
    """Rows of images as the input of an encoder; see `Inputs`."""

    pixels: Pixels
    rows: NDArray[np.int64]
    """The rows of the split that are used, shape (N,)."""
    least_area: float
    """Smallest share of an image's area that a training step sees; 1: the whole image."""
    flip: bool
    """Whether a training step sees the mirror image half of the time."""

    places = None
    answers = ()

    @property
    def varies(self) -> bool:
        """Return whether each step sees other parts of the images."""
        return self.flip or self.least_area < 1

    @cached_property
    def identity(self) -> str:
        """Return a digest of the images and their size."""
        facts = [self.pixels.digests[row] for row in self.rows.tolist()]
        return hashlib.sha256(repr((self.pixels.images.shape[1:], facts)).encode()).hexdigest()

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Return T for each row, shape (N,)."""
        return np.full(len(self.rows), self.pixels.tokens, dtype=np.int64)

    def used_ids(self) -> None:
        """Return None: images have no token ids."""

    def weights(self, rows: NDArray[np.int64], draw: int | None) -> None:
        """Return None: all rows count the same."""

    def for_scores(self, rows: NDArray[np.int64], outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs as they are."""
        return outputs

    def batch(self, rows: NDArray[np.int64], multiple: int = 1, draw: int | None = None) -> dict[str, torch.Tensor]:
        """Return `pixel_values` of shape (B, C, S, S), and `REAL_TOKENS` of shape (B, T)."""
        images = torch.from_numpy(np.ascontiguousarray(self.pixels.images[self.rows[rows]]))
        values = images.permute(0, 3, 1, 2).float().contiguous()
        if draw is not None and len(rows):
            values = self._mirrored(self._cropped(values, rows, draw), rows, draw)
        scale, shift = (
            torch.tensor(by_channel).view(1, -1, 1, 1) for by_channel in (self.pixels.scale, self.pixels.shift)
        )
        real = torch.ones(len(rows), self.pixels.tokens, dtype=torch.int64)
        return {"pixel_values": values * scale + shift, REAL_TOKENS: real}

    def _cropped(self, values: torch.Tensor, rows: NDArray[np.int64], draw: int) -> torch.Tensor:
        """Return a random square part of each image, enlarged to the whole size."""
        if self.least_area >= 1:
            return values
        side = np.sqrt(self.least_area + (1 - self.least_area) * _draw(draw, _AREA, rows))
        theta = np.zeros((len(rows), 2, 3))
        theta[:, 0, 0] = theta[:, 1, 1] = side
        for axis, purpose in enumerate((_LEFT, _TOP)):
            theta[:, axis, 2] = (1 - side) * (2 * _draw(draw, purpose, rows) - 1)
        grid = functional.affine_grid(torch.from_numpy(theta).float(), list(values.shape), align_corners=False)
        return functional.grid_sample(values, grid, padding_mode="border", align_corners=False)

    def _mirrored(self, values: torch.Tensor, rows: NDArray[np.int64], draw: int) -> torch.Tensor:
        if not self.flip:
            return values
        chosen = torch.from_numpy(_draw(draw, _MIRROR, rows) < 0.5).view(-1, 1, 1, 1)
        return torch.where(chosen, values.flip(-1), values)


def _draw(draw: int, purpose: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a random number from 0 to 1 for each row, shape (B,)."""
    return uniform(seed_of("images", draw, purpose), rows, np.zeros((len(rows), 1), dtype=np.int64))[:, 0]
