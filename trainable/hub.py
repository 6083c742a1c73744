"""Loads from the Hugging Face hub, or from its cache if the hub does not answer.

The hub is tried once per process, for at most `SECONDS`; its own library would try for half a minute.
"""

import os
import ssl
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

from trainable.errors import ConfigError

SECONDS = 5.0


def hub_options(encoder: str) -> dict[str, bool]:
    """Return arguments for `from_pretrained`, so that it does not use the network if the hub does not answer.

    Raises:
        ConfigError: if the hub does not answer and its cache on this machine does not have the encoder.
    """
    if os.path.isdir(encoder) or not (reason := _why_unavailable()):
        return {}
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = isinstance(try_to_load_from_cache(encoder, "config.json"), str)
    except HFValidationError as error:
        raise ConfigError(
            f"encoder: {encoder[:200]!r}: it is neither a folder nor a hub name: {error!s:.200}"
        ) from None
    if not cached:
        raise ConfigError(
            f"encoder: {encoder!r}: there is no such folder, so it is a name on the Hugging Face hub; {reason}, and "
            f"its cache {constants.HF_HUB_CACHE} does not have it; name a folder, or load it once with a network"
        )
    return {"local_files_only": True}


def read_hub_file(name: str, file: str) -> bytes | None:
    """Return the content of a file of a model on the hub, or in its cache; None if the model has no such file.

    Raises:
        ConfigError: if the hub does not answer and its cache on this machine does not have the encoder.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    cache_only = hub_options(name).get("local_files_only", False)
    try:
        return Path(hf_hub_download(name, file, local_files_only=cache_only)).read_bytes()
    except EntryNotFoundError:  # also if only the cache can be read and does not have the file
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"encoder: {name!r}: {file} cannot be read from the hub: {error!s:.200}") from None


def load_from_hub(name: str) -> Any:
    """Load the data set of this name with `datasets`; from its cache if the hub does not answer.

    Raises:
        ConnectionError: if the hub does not answer and the cache on this machine does not have the data set.
    """
    import datasets
    import huggingface_hub

    reason = _why_unavailable()
    if reason is None:
        return datasets.load_dataset(name)
    # These switch the network off in both libraries, which would try for half a minute.
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        return datasets.load_dataset(name)
    except ConnectionError:
        raise ConnectionError(f"{reason}, and its cache {datasets.config.HF_DATASETS_CACHE} does not have it") from None


@cache
def _why_unavailable() -> str | None:
    """Return why the hub cannot be used; None if it answers."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError:  # this is an answer too
        return None
    except OSError as error:
        why = getattr(error, "reason", error)
        # The library checks certificates itself, with its own settings.
        return None if isinstance(why, ssl.SSLError) else f"{constants.ENDPOINT} does not answer ({why})"
    return None
