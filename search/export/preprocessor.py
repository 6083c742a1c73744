"""What makes the inputs of a model, as an export contains it: a tokenizer, or an image processor."""

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainable.model.image_processor import image_processor
from trainable.model.image_size import set_image_size
from trainable.model.limits import name_or_path
from trainable.model.pretrained import load_tokenizer
from trainable.model.spans import InSpans
from trainable.settings.config import TrialConfig


def preprocessor_for(model: PreTrainedModel, config: TrialConfig) -> Any:
    """Return the tokenizer or the image processor of a trial's target stage, without the path of its folder.

    A model of images gets position embeddings for its images, as other tools do not interpolate them.
    """
    encoder = name_or_path(config.encoder)
    if not config.dataset_of(config.target).has_images:
        strategy = "only_second" if isinstance(model, InSpans) else "longest_first"
        return _tokenizer(encoder, config.target.padding_length, strategy)
    found = image_processor(encoder, config.target.image_size)
    set_image_size(model, found.size)
    return found.processor


def _tokenizer(encoder: str, length: int, strategy: str) -> PreTrainedTokenizerBase:
    """Return the encoder's tokenizer, set to truncate to a number of tokens; of a pair, by a strategy."""
    tokenizer = load_tokenizer(encoder)
    tokenizer.model_max_length = length  # what `truncation=True` cuts to
    tokenizer.init_kwargs["max_length"] = length
    # For readers of tokenizer.json other than transformers, which truncates only with `truncation=True`.
    tokenizer.backend_tokenizer.enable_truncation(length, strategy=strategy, direction=tokenizer.truncation_side)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.name_or_path = ""
    tokenizer.init_kwargs.pop("name_or_path", None)
    return tokenizer
