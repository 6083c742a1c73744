"""Types of mappings of settings whose names and types are not checked."""

from collections.abc import Mapping
from typing import Any

Params = Mapping[str, Any]
"""Settings by dotted name (`target.learning_rate`): scalars, lists, or the mapping of a data set."""
Nested = Mapping[str, Any]
"""Settings nested as in an experiment file."""
