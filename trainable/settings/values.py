"""Names for mappings of settings, whose keys are those of a trial and not known here."""

from collections.abc import Mapping
from typing import Any

Params = Mapping[str, Any]
"""Settings by dotted name (`target.learning_rate`): scalars, lists, or a data set's own mapping."""
Nested = Mapping[str, Any]
"""Settings as an experiment file nests them, before anything has checked their names and types."""
