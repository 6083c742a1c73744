"""What a model costs its users, as metrics of its stage. Nothing is timed, so equal settings give equal numbers."""

from transformers import PreTrainedModel

from trainable.inputs.split import Inputs
from trainable.model.views import flops_per_token


def use_cost(model: PreTrainedModel, inputs: Inputs) -> dict[str, float]:
    """Return the number of a model's weights, and the mean work for a text or an image.

    Args:
        model: the whole model, before a stage freezes, adapts or cuts its weights.
        inputs: rows as the stage truncates them.

    Returns:
        `model_weights`: the number of weights. `text_gflops`: 10^9 FLOPs of a row's products with the weights of the
        layers; 0 for an encoder whose layers are convolutions.
    """
    flops = flops_per_token(model, trains=False) * float(inputs.lengths.mean())
    return {"model_weights": float(sum(p.numel() for p in model.parameters())), "text_gflops": flops / 1e9}
