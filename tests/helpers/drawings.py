"""Drawn images of two classes, and tiny random encoders of images."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

SHAPES = ("circle", "square")


def drawing(shape: str, generator: np.random.Generator, size: int = 40) -> Image.Image:
    """A bright shape on dark noise; a circle is red and a square is blue, so that a tiny encoder learns it."""
    image = Image.fromarray(generator.integers(0, 90, (size, size, 3)).astype(np.uint8))
    radius = int(generator.integers(8, 14))
    x, y = (int(value) for value in generator.integers(radius, size - radius, 2))
    box, draw = (x - radius, y - radius, x + radius, y + radius), ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse(box, fill=(230, 40, 40))
    else:
        draw.rectangle(box, fill=(40, 40, 230))
    return image


def draw_folder(folder: Path, each: int, seed: int = 0) -> Path:
    """A folder of classes with `each` drawings, PNG and JPEG in turn."""
    generator = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True)
        for number in range(each):
            suffix = "png" if number % 2 else "jpg"
            drawing(shape, generator).save(folder / shape / f"{number}.{suffix}")
    return folder


def tiny_vit(folder: Path) -> str:
    """A random ViT of 3 layers for images of 32 pixels, in patches of 8."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def tiny_resnet(folder: Path) -> str:
    """A random ResNet of 4 stages, whose image processor gives 32 pixels."""
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 16, 32], depths=[1, 1, 1, 1], layer_type="basic")
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(folder)
    return str(folder)
