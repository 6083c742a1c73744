"""The search space of a sweep: domains, conditions, and the experiment files that come with the package."""

from pathlib import Path

from spaces.dimension import Dimension
from spaces.domain import Choice, Domain
from spaces.errors import SpaceError
from spaces.parse import parse_space
from spaces.ranges import Float, Int, Share
from spaces.scalars import Scalar
from spaces.schema import space_schema
from spaces.space import Point, Space

__all__ = [
    "Choice",
    "Dimension",
    "Domain",
    "Float",
    "Int",
    "Point",
    "Scalar",
    "Share",
    "Space",
    "SpaceError",
    "parse_space",
    "shipped",
    "space_schema",
]


def shipped() -> dict[str, Path]:
    """Return the experiment files that come with the package, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
