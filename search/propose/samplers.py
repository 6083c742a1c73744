"""Who proposes settings: Optuna's samplers, by name."""

from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

optuna.logging.set_verbosity(optuna.logging.WARNING)

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=8),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=8),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "qmc": lambda seed: QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
    # The points of a grid are listed by the space; what is left to sample is what a point to start with leaves out.
    "grid": lambda seed: RandomSampler(seed=seed),
}

BLOCKS = {"tpe": 1000, "gp": 100, "cmaes": 1000}
"""Samplers that learn from trials, and the block in which they forget (see `SamplerStudy`): so that a suggestion
takes at most about 0.1 s, or some seconds for `gp`."""


def build_sampler(name: str, seed: int) -> BaseSampler:
    """A sampler of the table, seeded."""
    return SAMPLERS[name](seed)
