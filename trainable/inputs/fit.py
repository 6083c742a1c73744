"""Whether a tokenizer gives only what its encoder has embeddings for."""

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from trainable.errors import ConfigError


def check_fit(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, sequences: int) -> None:
    """Compare a tokenizer with the configuration of its encoder.

    Args:
        tokenizer: of the encoder's folder.
        config: of the same folder.
        sequences: texts in each row, 1 or 2.

    Raises:
        ConfigError: if the tokenizer has more tokens, or gives more token types, than the encoder has embeddings.
    """
    problems = []
    words = getattr(config, "vocab_size", None)
    if words and len(tokenizer) > words:
        problems.append(
            f"encoder: its tokenizer has {len(tokenizer):,} tokens, the encoder {words:,} embeddings; save the folder "
            f"again after `model.resize_token_embeddings({len(tokenizer)})`, or remove the added tokens"
        )
    kinds = getattr(config, "type_vocab_size", None)  # 0: it has no embeddings of types and ignores them
    if kinds and "token_type_ids" in tokenizer.model_input_names:
        given = max(tokenizer(*["a"] * sequences, return_token_type_ids=True)["token_type_ids"]) + 1
        if given > kinds:
            problems.append(
                f"encoder: it knows {kinds} token type{'s' if kinds > 1 else ''}, its tokenizer gives {given} to "
                f"{'pairs of texts' if sequences == 2 else 'texts'}; remove token_type_ids from `model_input_names` in "
                "its tokenizer_config.json"
            )
    if problems:
        raise ConfigError(problems)
