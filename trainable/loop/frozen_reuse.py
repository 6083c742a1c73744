"""A stage that takes the stored output of its frozen layers in their place, for as long as that is exact."""

from torch import nn
from transformers import PreTrainedModel

from trainable.compute.memory import none_if_out_of_memory
from trainable.inputs.frozen_output import FrozenOutputStore, states_name
from trainable.inputs.frozen_output_check import FrozenOutputCheck
from trainable.inputs.split import Split
from trainable.loop.steps import Steps
from trainable.model.views import layers_between

CHECKED_STEPS = 3
"""After each of this many first optimiser steps, the frozen layers' output is compared with that at the start."""


class FrozenReuse:
    """Replaces the frozen layers of a stage by their stored output, and checks in its first steps that it is the same.

    Args:
        model: the whole model.
        frozen: its modules that are frozen during the whole stage.
        steps: the optimiser steps of the stage.
    """

    def __init__(self, model: PreTrainedModel, frozen: list[nn.Module], steps: Steps) -> None:
        self._model, self._frozen, self._steps = model, frozen, steps
        self._check: FrozenOutputCheck | None = None
        self.checks_left = 0
        """Number of next steps after which `check` must be called."""

    def begin(self, store: FrozenOutputStore, validation: Split) -> Split:
        """Take the output from the store from now on; if that is not exact, add the reason to the clock's notes.

        Args:
            store: has the output of each split, or computes it.
            validation: the validation split.

        Returns:
            The validation split as the network in use takes it.
        """
        stored = self._begin(store, validation)
        if isinstance(stored, str):
            self.note_none(stored)
            return validation
        return stored

    def _begin(self, store: FrozenOutputStore, validation: Split) -> Split | str:
        """Return the validation split as stored output, or why that is not possible."""
        steps, count = self._steps, self._steps.stage.frozen_layers
        check = none_if_out_of_memory(
            lambda: FrozenOutputCheck(self._model, self._frozen, steps.train.inputs, count, steps.context)
        )
        if check is None:
            return "memory has no room for it"
        if check.obstacle:
            return check.obstacle
        train = store.get(self._model, steps.train, count)
        stored = store.get(self._model, validation, count) if isinstance(train, Split) else train
        if not isinstance(train, Split) or not isinstance(stored, Split):
            return str(stored)
        if not check.matches(train.inputs, states_name(self._model)):
            return "it depends on the padding of a text"
        self._without = steps.network, steps.train, validation
        self._check = check
        self.check_next_steps()
        steps.use(layers_between(steps.network, count), train)
        return stored

    def check_next_steps(self) -> None:
        """Let the next steps be checked, as other weights train from now on."""
        self.checks_left = CHECKED_STEPS if self._check is not None else 0

    def check(self, validation: Split) -> Split:
        """Continue without the stored output if the frozen layers' output has changed after a step.

        The steps so far are exact, as the output was still the same when each of them began.

        Args:
            validation: the validation split in use.

        Returns:
            The validation split as the network in use takes it.
        """
        assert self._check is not None
        if none_if_out_of_memory(self._check.is_unchanged):
            self.checks_left -= 1
            return validation
        self.checks_left, self._check = 0, None
        network, train, whole = self._without
        self._steps.use(network, train)
        self.note_none("it changes while the stage trains")
        return whole

    def note_none(self, reason: str) -> None:
        """Add to the clock's notes why the frozen layers' output is computed again and again."""
        context = self._steps.context
        context.clock.note(f"{context.name}: the frozen layers' output is not reused: {reason}")
