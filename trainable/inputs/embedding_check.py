"""Checks that the encoder has an embedding for every token and token type of its tokenizer."""

import json

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from trainable.errors import ConfigError


def check_embeddings(
    encoder: str, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, sequences: int
) -> None:
    """Compare a tokenizer with the configuration of its encoder.

    Args:
        encoder: the folder or hub name of both, for the message.
        tokenizer: the encoder's tokenizer.
        config: the encoder's configuration.
        sequences: number of texts in each row, 1 or 2.

    Raises:
        ConfigError: if the tokenizer has more tokens or more token types than the encoder has embeddings.
    """
    problems = []
    words = getattr(config, "vocab_size", None)
    if words and len(tokenizer) > words:
        problems.append(
            f"encoder: {encoder!r}: its tokenizer has {len(tokenizer):,} tokens, but the encoder has {words:,} "
            f"embeddings; save the folder again after `model.resize_token_embeddings({len(tokenizer)})`, "
            "or remove the added tokens"
        )
    kinds = getattr(config, "type_vocab_size", None)  # 0: the encoder ignores token types
    if kinds and "token_type_ids" in tokenizer.model_input_names:
        given = max(tokenizer(*["a"] * sequences, return_token_type_ids=True)["token_type_ids"]) + 1
        if given > kinds:
            names = json.dumps([name for name in tokenizer.model_input_names if name != "token_type_ids"])
            problems.append(
                f"encoder: {encoder!r}: it knows {kinds} token type{'s' if kinds > 1 else ''}, but its tokenizer gives "
                f"{given} to {'pairs of texts' if sequences == 2 else 'texts'}; to leave token types out, write "
                f'"model_input_names": {names} into its tokenizer_config.json'
            )
    if problems:
        raise ConfigError(problems)
