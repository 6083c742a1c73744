"""How a model with a decoder generates texts: what the settings of a stage mean for its generation_config.json."""

from transformers import GenerationConfig, PreTrainedModel

from trainable.settings.stage import Stage


def set_generation(model: PreTrainedModel, stage: Stage) -> None:
    """Let a model generate as a stage says, without sampling; a model without a decoder stays as it is."""
    if not model.config.is_encoder_decoder:
        return
    config = GenerationConfig.from_dict((model.generation_config or GenerationConfig()).to_dict())
    given = {"num_beams": stage.num_beams, "length_penalty": stage.length_penalty}
    changes = {name: value for name, value in given.items() if value is not None}
    # The lengths count tokens in two ways; transformers warns if both are set.
    config.update(**changes, do_sample=False, max_new_tokens=stage.longest_answer, max_length=None)
    model.generation_config = config
