"""Fingerprints of the encoders, tokenizers and data sets of a sweep, to refuse a resume on changed files."""

from collections.abc import Mapping
from pathlib import Path

from search.plan.data import stage_uses
from search.plan.data_use import DataUse
from search.plan.plan import Plan
from trainable.inputs.prepare import TokenizedDataset, tokenized_dataset_of
from trainable.model.encoder import fingerprint
from trainable.model.limits import resolve_encoder
from trainable.model.pooling import auto_pooling

Fingerprints = dict[str, list[str]]
"""Fingerprints by kind (`encoder`, `pooling`, `tokenizer`, `source`, `target`) and name, joined by a blank."""
_WAY_OUT = "restore the earlier files, or run the experiment under another name (--set sweep.name=...)"


def compute_fingerprints(plan: Plan, storage: Path, prepared: Mapping[DataUse, TokenizedDataset]) -> Fingerprints:
    """Return the fingerprints of all encoders, tokenizers and data sets that a trial may use.

    Args:
        plan: the sweep's plan.
        storage: the folder of all sweeps.
        prepared: the data sets as `check_data` returned them.
    """
    found: dict[str, set[str]] = {}
    for use, data in prepared.items():
        found.setdefault(f"{use.stage} {use.name}", set()).add(data.data_fingerprint)
    encoders = _settings(plan, "encoder", "")
    # The names are those of the experiment file: a path may be different once the sweep has been moved.
    names = {resolve_encoder(encoder, plan.roots): encoder for encoder in encoders}
    for config, stage in {config.encoder: (config, stage) for _, stage, config in stage_uses(plan)}.values():
        name = names[config.encoder]
        tokenized = tokenized_dataset_of(config, stage, plan.workspace(storage))
        found[f"tokenizer {name}"] = {tokenized.tokenizer_fingerprint}
        found[f"encoder {name}"] = {fingerprint(config.encoder)}
        if "auto" in _settings(plan, "pooling", "auto"):
            found[f"pooling {name}"] = {auto_pooling(config.encoder).mode}
    return {name: sorted(values) for name, values in found.items()}


def _settings(plan: Plan, name: str, default: str) -> list[str]:
    """Return every value that trials may have for a setting outside the stages."""
    return [str(value) for varying, value in plan.space.corners() if varying == name] or [plan.base.get(name, default)]


def describe_changes(stored: Mapping[str, list[str]], current: Mapping[str, list[str]]) -> list[str]:
    """Return a sentence on each encoder, tokenizer and data set whose stored fingerprint is not the current one."""
    changed = [name for name in stored if stored[name] != current.get(name)]
    return [f"{_in_words(name)} changed since the sweep began; {_WAY_OUT}" for name in changed]


def _in_words(kind_and_name: str) -> str:
    kind, _, name = kind_and_name.partition(" ")
    if kind == "encoder":
        return f"encoder {name!r}: its weights or its config.json have"
    if kind == "pooling":
        return f"encoder {name!r}: what `pooling: auto` means for it has"
    if kind == "tokenizer":
        return f"encoder {name!r}: its tokenizer has"
    return f"{kind}: the data set {name!r} has"
