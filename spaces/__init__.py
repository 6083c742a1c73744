"""What can vary in a sweep: domains, conditions, their YAML, and the experiment files that are shipped."""

from pathlib import Path

from spaces.dimension import Dimension
from spaces.domain import Choice, Domain
from spaces.errors import SpaceError
from spaces.parse import parse_space
from spaces.ranges import Float, Int
from spaces.scalars import Scalar
from spaces.schema import space_schema
from spaces.space import Point, Space
from spaces.yaml_file import dump_yaml, load_yaml, parse_yaml

__all__ = [
    "Choice",
    "Dimension",
    "Domain",
    "Float",
    "Int",
    "Point",
    "Scalar",
    "Space",
    "SpaceError",
    "dump_yaml",
    "load_yaml",
    "parse_space",
    "parse_yaml",
    "shipped",
    "space_schema",
]


def shipped() -> dict[str, Path]:
    """The experiment files that come with the package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
