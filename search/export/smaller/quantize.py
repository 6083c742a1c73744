"""Quantises the graph of an ONNX folder to 8-bit integers.

Dynamic quantisation by ONNX Runtime: weights become 8-bit integers, activations are quantised while the model runs, and
no calibration data is needed (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

import logging
from pathlib import Path

from search.export.formats.onnx_folder import GRAPH


def quantise(folder: Path) -> str:
    """Replace the graph of an ONNX folder by one with 8-bit integers, and say so."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    small = folder / f"small-{GRAPH}"
    logging.getLogger().addFilter(_no_advice)  # it advises a preprocessing that this graph does not need
    try:
        # ONNX Runtime has no convolution of these weights on a CPU.
        kinds = [name for name in IntegerOpsRegistry if name != "Conv"]
        quantize_dynamic(folder / GRAPH, small, op_types_to_quantize=kinds, weight_type=QuantType.QInt8)
    finally:
        logging.getLogger().removeFilter(_no_advice)
    small.replace(folder / GRAPH)
    return "Quantised to 8-bit integers."


def _no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
