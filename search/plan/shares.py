"""Shares of an encoder's layers in a space: the study has the share, and the trial the number of layers."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from spaces import Share, Space
from trainable.model.limits import depth_of, resolve_encoder
from trainable.settings.values import Nested, Params

_FIELD = "frozen_layers"
"""The setting that may be a share in a space."""


def with_layers(space: Space, base: Nested, params: Params, roots: Sequence[Path]) -> Params:
    """Return sampled settings with a number of layers in the place of each share.

    Args:
        space: the space from which they were sampled.
        base: the fixed settings.
        params: the sampled settings.
        roots: folders in which a relative path of an encoder is looked up.

    Raises:
        ConfigError: if there is no such encoder.
    """
    shares = {name: domain for name, domain in _shares(space) if name in params}
    if not shares:
        return params
    depth = depth_of(resolve_encoder(str(params.get("encoder", base.get("encoder"))), roots))
    return {**params, **{name: domain.count(params[name], depth) for name, domain in shares.items()}}


def without_shares(space: Space, params: Params) -> Params:
    """Return sampled settings without shares, which need no check: each is within the layers of every encoder."""
    shares = {name for name, _ in _shares(space)}
    return {name: value for name, value in params.items() if name not in shares}


def share_problems(space: Space) -> Iterator[str]:
    """Yield a sentence for each setting that cannot be a share."""
    for name, domain in _shares(space):
        if name.rpartition(".")[2] != _FIELD:
            yield f"space.{name}: only {_FIELD} can be a share; write {{float: [{domain.low}, {domain.high}]}}"


def _shares(space: Space) -> Iterator[tuple[str, Share]]:
    for name, dimension in space.dimensions.items():
        if isinstance(dimension.domain, Share):
            yield name, dimension.domain
