"""What each format of an export can hold and needs, and how a person uses its folder. Nothing here imports torch."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from trainable.answers.answer import Answers
from trainable.errors import ConfigError

Format = Literal["hf", "sentence-transformers", "bi-encoder", "seq2seq", "onnx", "skops"]
"""The format of a folder."""
FormatChoice = Literal["auto", "hf", "sentence-transformers", "bi-encoder", "seq2seq", "onnx"]
"""What `export --format` takes; `auto` is the first format in `FORMATS` that can hold the model."""

_HF = """\
from transformers import pipeline

classify = pipeline("{hub_task}", model={folder}{pipeline_arguments})
{of_pipeline}
"""
_SENTENCE = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer({folder})
logits = model.encode([{row}])[0]
{of_logits}
"""
_BI_ENCODER = """\
import json, numpy
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

folder = {folder}
u, v = SentenceTransformer(folder).encode({row})
head = load_file(folder + "/head.safetensors")
logits = head["weight"] @ numpy.concatenate([u, v, abs(u - v), u * v]) + head["bias"]
labels = json.load(open(folder + "/config.json", encoding="utf-8"))["id2label"]
{of_logits}
"""
_SEQ2SEQ = """\
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

folder = {folder}
model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
ids = model.generate(**tokenizer({row}, truncation=True, return_tensors="pt"))
tokenizer.decode(ids[0], skip_special_tokens=True)
"""
_ONNX = """\
import json, numpy, onnxruntime, tokenizers

folder = {folder}
tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
session = onnxruntime.InferenceSession(folder + "/model.onnx")
rows = tokenizer.encode_batch([{row}])
fields = {{"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}}
feed = {{i.name: numpy.array([getattr(row, fields[i.name]) for row in rows]) for i in session.get_inputs()}}
logits = session.run(None, feed)[0][0]
labels = json.load(open(folder + "/config.json", encoding="utf-8"))["id2label"]
{of_logits}
"""
_ONNX_IMAGE = """\
import json, onnxruntime
from transformers import AutoImageProcessor
from transformers.image_utils import load_image

folder = {folder}
processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
session = onnxruntime.InferenceSession(folder + "/model.onnx")
pixels = processor([load_image({row})], return_tensors="np")["pixel_values"]
logits = session.run(None, {{"pixel_values": pixels}})[0][0]
labels = json.load(open(folder + "/config.json", encoding="utf-8"))["id2label"]
{of_logits}
"""
_SKOPS = """\
import skops.io

model = skops.io.load({folder} + "/model.skops")
{of_text_model}
"""


@dataclass(frozen=True)
class About:
    """One format."""

    library: str
    """The library that loads the folder, as the hub names it."""
    title: str
    """That library in Markdown, with a link."""
    poolings: tuple[str, ...]
    """What the heads of the models read that it can hold: `pooling`, `every_token`, `image`, `spans` or `decoder`."""
    obstacle: str
    """Why it cannot hold models with another `pooling`."""
    python: str
    """How to use the folder in Python: lines with the fields `folder` and `row`, and those of the model's answers."""
    rows: tuple[str, str]
    """Python for one row of those lines: a text, and a pair of texts."""
    note: str
    """What to know about truncation, for the model card."""
    python_of_images: str = ""
    """The same for an image; empty if those lines are for images, too."""
    name: str = "labels[str({number})]"
    """Python for the name of an output, with the field `number`."""
    extra: str = ""
    """The optional extra of transfersweep with the packages below; empty if the format needs none."""
    to_write: tuple[str, ...] = ()
    """Packages that an export needs, by the names that Python imports."""
    to_read: tuple[str, ...] = ()
    """Packages that loading a folder needs, by the names that Python imports."""

    def usage(self, folder: str, pairs: bool, answers: Answers) -> list[str]:
        """Return lines of Python for the answer to a text, or to a pair of texts, with the exported folder."""
        if own := answers.own_python(folder, self.library):
            return own.splitlines()
        row = answers.row or self.rows[pairs]
        python = self.python_of_images if answers.content == "image" else ""
        lines = (python or self.python).format(
            folder=json.dumps(folder),
            row=row,
            hub_task=answers.hub_task,
            pipeline_arguments=answers.pipeline_arguments,
            of_text_model=answers.text_model_python(row),
            of_pipeline=answers.pipeline_python(row),
            of_logits=answers.python("logits", self.name),
        )
        return lines.splitlines()


FORMATS: dict[Format, About] = {
    "hf": About(
        library="transformers",
        title="[Transformers](https://github.com/huggingface/transformers)",
        poolings=("first", "every_token", "spans", "image"),
        obstacle="transformers' own classes have only the head of their architecture (`pooling: first`)",
        python=_HF,
        rows=('"Your text"', '{"text": "First text", "text_pair": "Second text"}'),
        note="`truncation=True` cuts long texts as in training; without it transformers does not cut, and fails on "
        "texts longer than the encoder takes.",
    ),
    "sentence-transformers": About(
        library="sentence-transformers",
        title="[sentence-transformers](https://sbert.net)",
        poolings=("mean", "max"),
        obstacle="sentence-transformers has no module for such a head",
        python=_SENTENCE,
        rows=('"Your text"', '("First text", "Second text")'),
        note="`encode` gives the logits, one for each output, and cuts long texts as in training. The folder "
        "needs sentence-transformers 6 or newer.",
        name="model.config.id2label[int({number})]",
    ),
    "bi-encoder": About(
        library="sentence-transformers",
        title="[sentence-transformers](https://sbert.net)",
        poolings=("bi_encoder",),
        obstacle="this format is for models that encode the texts of a pair apart (`pooling: bi_encoder`)",
        python=_BI_ENCODER,
        rows=('["First text", "Second text"]', '["First text", "Second text"]'),
        note="`encode` gives the vector of each text and cuts long texts as in training; the head compares two "
        "vectors. The vectors of texts that occur in many pairs can be kept. The folder needs sentence-transformers 6 "
        "or newer.",
    ),
    "seq2seq": About(
        library="transformers",
        title="[Transformers](https://github.com/huggingface/transformers)",
        poolings=("decoder",),
        obstacle="this format is for models that generate texts",
        python=_SEQ2SEQ,
        rows=('"Your text"', '"First text", "Second text"'),
        note="`truncation=True` cuts long texts as in training; `generate` searches as in the sweep.",
    ),
    "onnx": About(
        library="onnx",
        title="[ONNX Runtime](https://onnxruntime.ai)",
        poolings=("first", "mean", "max", "every_token", "image", "spans"),
        obstacle="no graph is written for such a head",
        python=_ONNX,
        python_of_images=_ONNX_IMAGE,
        rows=('"Your text"', '("First text", "Second text")'),
        note="The tokenizer cuts long texts as in training, and pads the rows of a batch to the longest.",
        extra="onnx",
        to_write=("onnx", "onnxruntime", "onnxscript"),
        to_read=("onnxruntime",),
    ),
    "skops": About(  # of a baseline that reads words; no model with an encoder has it
        library="sklearn",
        title="[scikit-learn](https://scikit-learn.org)",
        poolings=(),
        obstacle="scikit-learn has no encoder",
        python=_SKOPS,
        rows=('"Your text"', '"First text Second text"'),
        note="Of a pair, the two texts are joined by a space. `model.predict_proba` gives the probability of each of "
        "`model.classes_`. Loading the file executes nothing in it.",
    ),
}
"""The formats, in the order in which `auto` tries them."""


def check_installed(about: About, packages: Collection[str], what: str) -> None:
    """Check that packages of a format are installed.

    Args:
        about: the format.
        packages: its `to_write` or `to_read`.
        what: the beginning of the error message.

    Raises:
        ConfigError: naming the missing packages and the command that installs them.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        raise ConfigError(
            f"{what} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed; "
            f"run: pip install 'transfersweep[{about.extra}]'"
        )
