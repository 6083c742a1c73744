"""Kinds of encoders at a tiny size, each a function from the number of words to a configuration."""

from collections.abc import Callable
from typing import Any

import transformers
from transformers import (
    BertConfig,
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

COMMON: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
COMMON |= {"intermediate_size": 64, "max_position_embeddings": 64}
KINDS: dict[str, Callable[[int], PreTrainedConfig]] = {
    "bert": lambda words: BertConfig(vocab_size=words, **COMMON),
    "roberta": lambda words: RobertaConfig(vocab_size=words, **COMMON),
    "xlm-roberta": lambda words: XLMRobertaConfig(vocab_size=words, **COMMON),
    "camembert": lambda words: CamembertConfig(vocab_size=words, **COMMON),
    "electra": lambda words: ElectraConfig(vocab_size=words, embedding_size=16, **COMMON),
    "distilbert": lambda words: DistilBertConfig(
        vocab_size=words, dim=32, n_layers=3, n_heads=2, hidden_dim=64, max_position_embeddings=64
    ),
    "modernbert": lambda words: ModernBertConfig(
        vocab_size=words, pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, **COMMON
    ),
}

DEPTH = 3
DEBERTA = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
DEBERTA_3 = DEBERTA | {"position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True}
DEBERTA_3 |= {"position_biased_input": False}


def small(name: str, **more: Any) -> Callable[[int], PreTrainedConfig]:
    """A configuration class of transformers at a small size, by the number of words."""
    return lambda words: getattr(transformers, name)(**COMMON | {"vocab_size": words, "pad_token_id": 0} | more)


def xlnet(words: int) -> PreTrainedConfig:
    return transformers.XLNetConfig(vocab_size=words, d_model=32, n_layer=DEPTH, n_head=2, d_inner=64, pad_token_id=0)


MORE: dict[str, Callable[[int], PreTrainedConfig]] = {
    "mpnet": small("MPNetConfig"),
    "deberta": small("DebertaConfig", **DEBERTA),
    "deberta-v2": small("DebertaV2Config", **DEBERTA),
    "deberta-v2-conv": small("DebertaV2Config", **DEBERTA, conv_kernel_size=3, conv_act="gelu"),
    "deberta-v3": small("DebertaV2Config", **DEBERTA_3),
    "longformer": small("LongformerConfig", attention_window=[4] * DEPTH),
    "big-bird": small("BigBirdConfig", attention_type="original_full"),
    "roformer": small("RoFormerConfig", embedding_size=16),
    "ernie": small("ErnieConfig"),
    "xlnet": xlnet,
    "convbert": small("ConvBertConfig", embedding_size=16, initializer_range=0.3),
    "megatron-bert": small("MegatronBertConfig"),
    "nystromformer": small("NystromformerConfig", num_landmarks=64, segment_means_seq_len=64),
    "data2vec-text": small("Data2VecTextConfig"),
    "squeezebert": small(
        "SqueezeBertConfig",
        embedding_size=32,
        **{f"{part}_groups": 1 for part in ("q", "k", "v", "post_attention", "intermediate", "output")},
    ),
    "i-bert": small("IBertConfig"),
    "xlm-roberta-xl": small("XLMRobertaXLConfig"),
    "rembert": small("RemBertConfig", input_embedding_size=16, output_embedding_size=16),
    "layoutlm": small("LayoutLMConfig"),
    "esm": small("EsmConfig", position_embedding_type="rotary", mask_token_id=4),
    "gpt2": small("GPT2Config", n_embd=32, n_layer=DEPTH, n_head=2, n_positions=64, n_inner=64),
    "opt": small("OPTConfig", ffn_dim=64, word_embed_proj_dim=32),
    "biogpt": small("BioGptConfig"),
    "fnet": small("FNetConfig", initializer_range=0.3),
    "roberta-prelayernorm": small("RobertaPreLayerNormConfig", pad_token_id=3),
    "mobilebert": small("MobileBertConfig", embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16),
    "gte": small("GteConfig"),
    "nomic-bert": small("NomicBertConfig"),
    "llama": small("LlamaConfig", num_key_value_heads=2),
    # Its tokenizer adds a token of its own.
    "qwen2": lambda words: small("Qwen2Config", num_key_value_heads=2)(words + 1),
}
