"""Whether the Hugging Face hub answers. It is asked once a process and briefly: its library tries for half a minute."""

import os
import ssl
import urllib.error
import urllib.request
from functools import cache
from typing import Any

from trainable.errors import ConfigError

SECONDS = 5.0


def hub_options(encoder: str) -> dict[str, bool]:
    """How `from_pretrained` is to load this folder or hub name: without the network, where there is none.

    Raises:
        ConfigError: if the hub does not answer and its cache on this machine lacks the encoder.
    """
    if os.path.isdir(encoder) or not (reason := _why_silent()):
        return {}
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        there = isinstance(try_to_load_from_cache(encoder, "config.json"), str)
    except HFValidationError as error:
        raise ConfigError(f"encoder: {encoder[:200]!r}: neither a folder nor a hub name: {error!s:.200}") from None
    if not there:
        raise ConfigError(
            f"encoder: {encoder!r}: there is no such folder, so it is a name on the Hugging Face hub; {reason}, and "
            f"its cache {constants.HF_HUB_CACHE} has no such encoder; name a folder, or load it once with a network"
        )
    return {"local_files_only": True}


def load_from_hub(name: str) -> Any:
    """The data set of that name as `datasets` gives it; from its cache where the hub does not answer.

    Raises:
        ConnectionError: if the hub does not answer and the cache on this machine lacks the data set.
    """
    import datasets
    import huggingface_hub

    reason = _why_silent()
    if reason is None:
        return datasets.load_dataset(name)
    # The libraries' own switches; they would try for half a minute.
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        return datasets.load_dataset(name)
    except ConnectionError:
        raise ConnectionError(f"{reason}, and its cache {datasets.config.HF_DATASETS_CACHE} has no such data") from None


@cache
def _why_silent() -> str | None:
    """Why the hub gives nothing; None where it answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError:  # an answer, too
        return None
    except OSError as error:
        why = getattr(error, "reason", error)
        # Certificates are for the library to judge, which has its own.
        return None if isinstance(why, ssl.SSLError) else f"{constants.ENDPOINT} does not answer ({why})"
    return None
