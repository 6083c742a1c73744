"""Writes experiment files for tests."""

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


# Text always stands in quotes: PyYAML follows YAML 1.1, where `1e-5` is text and needs none.
_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def dump_yaml(mapping: Mapping[str, Any]) -> str:
    """Plain dicts, lists and scalars as YAML text that `parse_yaml` reads back the same."""
    return yaml.dump(dict(mapping), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
