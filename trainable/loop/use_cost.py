"""What a model costs its users, as metrics of its stage: numbers that do not depend on how it is trained."""

from transformers import PreTrainedModel

from trainable.inputs.split import Inputs
from trainable.loop.latency import Timed, latencies
from trainable.model.views import flops_per_token
from trainable.progress import StageContext
from trainable.settings.stage import Target


def use_cost(model: PreTrainedModel, inputs: Inputs, stage: Target, context: StageContext) -> dict[str, float]:
    """Return the number of a model's weights, the mean work for a text or an image, and the latency if it is asked for.

    Args:
        model: the whole model on its device, before the stage freezes, adapts or cuts its weights.
        inputs: rows as the stage truncates them.
        stage: the settings.
        context: device and precision.

    Returns:
        `model_weights`: the number of weights. `text_gflops`: 10^9 FLOPs of a row's products with the weights of the
        layers; 0 for an encoder whose layers are convolutions. `latency_ms`, with `measure_latency`: milliseconds of a
        single row, while other trials may compute on the same machine.
    """
    flops = flops_per_token(model, trains=False) * float(inputs.lengths.mean())
    costs = {"model_weights": float(sum(p.numel() for p in model.parameters())), "text_gflops": flops / 1e9}
    if stage.measure_latency:
        (costs["latency_ms"],) = latencies([Timed(model.eval(), inputs, context.precision)], context.device)
    return costs
