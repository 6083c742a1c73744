"""Encoders with random weights, made on this machine: they take as long as trained ones of the same size."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from common import ENCODER

SIZES = {
    "base": {},  # BERT-base: 12 layers, 110 million weights
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
}
"""What differs from BERT-base, by size."""
CHOICES = ("minilm", *SIZES)


def encoder_of_size(size: str, folder: Path) -> str:
    """Return the encoder setting of a size; one with random weights is written into the folder first.

    Its tokenizer is MiniLM's, which has BERT's vocabulary.
    """
    if size == "minilm":
        return ENCODER
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(files(ENCODER.removeprefix("package:")) / "model")
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), **SIZES[size])).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder.absolute())


def small_t5(texts: Iterable[str], folder: Path) -> str:
    """Write a random T5 of three layers, and a tokenizer with 4,000 pieces of the words of some texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    special = ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4000, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    inputs = ["input_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=inputs, model_max_length=512, **names
    ).save_pretrained(folder)
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "d_model": 192, "d_kv": 48, "num_heads": 4, "d_ff": 512}
    torch.manual_seed(0)
    config = T5Config(**sizes, num_layers=3, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return str(folder.absolute())


def small_vit(folder: Path) -> str:
    """Write a random Vision Transformer of four layers for images of 64 pixels, in patches of 8."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(0)
    sizes = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    ViTForImageClassification(ViTConfig(**sizes, image_size=64, patch_size=8)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder.absolute())
