"""The samplers of Optuna by the names that `sweep.sampler` has for them."""

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
    # The space lists the points of a grid. This sampler only fills in names that a point of `start_with` leaves out.
    "grid": lambda seed: RandomSampler(seed=seed),
}

BLOCK_TRIALS = {"tpe": 1000, "gp": 100, "cmaes": 1000}
"""Samplers that learn from trials, with the size of a block of trials (see `SamplerStudy`).

The size limits the time of a proposal to about 0.1 s, and to a few seconds for `gp`."""


def build_sampler(name: str, seed: int) -> BaseSampler:
    """Return a new sampler with this seed."""
    return SAMPLERS[name](seed)
