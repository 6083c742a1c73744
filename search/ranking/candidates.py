"""The candidates of a ranking: every encoder of an experiment, as it is and after each of its sources."""

from collections.abc import Iterator
from dataclasses import dataclass

from search.errors import PlanError
from search.plan.plan import Plan
from search.propose.first_points import default_point
from spaces import Point
from trainable.model.pooling import features_pooling
from trainable.settings.config import TrialConfig
from trainable.settings.values import Params

DATASET = "source.dataset"
UNNAMED = "source"
"""Name of a source whose data set has none in the experiment."""


@dataclass(frozen=True)
class Candidate:
    """One encoder, and the source on which it trains first; the source is None for the pretrained encoder."""

    encoder: str
    """As the experiment writes it."""
    source: str | None
    config: TrialConfig
    """A trial with the default settings, this encoder and this source."""


def candidates_of(plan: Plan) -> list[Candidate]:
    """Return every candidate of an experiment, for each encoder first that without a source.

    Searched settings have their defaults, and learning rates the middle of their ranges. The head reads the tokens that
    `trial.pooling` names if it is set, else those with which the encoder was trained, or their mean.

    Raises:
        PlanError: if there is only one candidate.
    """
    encoders = [value for name, value in plan.space.corners() if name == "encoder"] or [plan.base["encoder"]]
    found = [each for encoder in dict.fromkeys(map(str, encoders)) for each in _of_encoder(plan, encoder)]
    if len(found) < 2:
        ways = "name several data sets in space.source.dataset, or several encoders in space.encoder"
        raise PlanError([f"there is nothing to rank: the experiment has one encoder and no source; {ways}"])
    return found


def _of_encoder(plan: Plan, encoder: str) -> Iterator[Candidate]:
    given: Point = {"encoder": encoder} if "encoder" in plan.space.names else {}
    yield Candidate(encoder, None, _config(plan, given, plan.without_sources()))
    with_source: Point = {name: True for name in plan.source_switches() if name in plan.space.names}
    options = [{DATASET: value} for name, value in plan.space.corners() if name == DATASET]
    for option in options or [{}]:
        config = _config(plan, given | with_source | option, {})
        if stages := config.source_stages().values():
            names = (stage.dataset if isinstance(stage.dataset, str) else UNNAMED for stage in stages)
            yield Candidate(encoder, ", then ".join(names), config)


def _config(plan: Plan, given: Point, override: Params) -> TrialConfig:
    config = plan.config(default_point(plan.space, given), **override)
    if "pooling" not in plan.space.names and plan.base.get("pooling", "auto") != "auto":
        return config
    return config.model_copy(update={"pooling": features_pooling(config.encoder, pairs=False)})
