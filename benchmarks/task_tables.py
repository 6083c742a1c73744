"""The tasks of `tasks.py`: stages, settings, and tables of rows that both contenders read.

Rows are real where the data folder has a set for the task. The other tables are made from real rows: labels, questions
and answers from named entities, choices from the hypotheses of one premise. Images are drawn.
"""

import csv
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Row = dict[str, Any]
ENTITIES = {"PER": "Who is named?", "ORG": "Which organisation is named?", "LOC": "Which place is named?"}
"""Types of the entities of WikiANN, and the question about each."""
POOL = 20_000
"""Rows of a table from which those of a stage are drawn."""
SHAPES = ("circle", "cross", "square", "triangle")


@dataclass(frozen=True)
class Stage:
    """One stage of fine-tuning on one table."""

    task: str
    rows: Callable[[Path, str], Iterable[Row]]
    """Gives the rows of a split, `train` or `test`, of a data folder."""
    train: int
    test: int
    epochs: int = 2
    learning_rate: float = 1e-4
    batch_size: int = 16
    padding_length: int = 128


@dataclass(frozen=True)
class Pair:
    """A target with the source before it, if it has one."""

    target: Stage
    metric: str
    source: Stage | None = None
    encoder: str = "minilm"

    @property
    def stages(self) -> dict[str, Stage]:
        return {"source": self.source, "target": self.target} if self.source else {"target": self.target}


def table(data: Path, split: str, beginning: str, **columns: str) -> Iterable[Row]:
    """Yield rows of a CSV file with other names of columns; the validation split where there is no test split."""
    for row in _csv(_file(data, beginning, split, "csv")):
        yield {new: row[old] for new, old in columns.items()}


def scored(data: Path, split: str, beginning: str) -> Iterable[Row]:
    for row in _csv(_file(data, beginning, split, "csv")):
        yield {"text": row["text"], "label": float(row["score"])}


def tagged(data: Path, split: str, beginning: str) -> Iterable[Row]:
    with _file(data, beginning, split, "jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield {"text": row["tokens"], "label": row["tags"]}


def entity_types(data: Path, split: str) -> Iterable[Row]:
    """Yield sentences with the types of entities that they name."""
    for row in tagged(data, split, "wikiann_en/"):
        types = sorted({tag[2:] for tag in row["label"] if tag != "O"})
        yield {"text": " ".join(row["text"]), "label": types}


def entity_questions(data: Path, split: str) -> Iterable[Row]:
    """Yield a question about the only entity of its type in four sentences."""
    rows = iter(tagged(data, split, "wikiann_en/"))
    while sentences := list(islice(rows, 4)):
        words = [word for row in sentences for word in row["text"]]
        tags = [tag for row in sentences for tag in row["label"]]
        for kind, question in ENTITIES.items():
            begins = [place for place, tag in enumerate(tags) if tag == f"B-{kind}"]
            if len(begins) == 1 and len(" ".join(words)) < 600:
                end = begins[0] + 1
                while end < len(tags) and tags[end] == f"I-{kind}":
                    end += 1
                start = len(" ".join([*words[: begins[0]], ""]))
                answers = {"text": [" ".join(words[begins[0] : end])], "answer_start": [start]}
                yield {"question": question, "context": " ".join(words), "answers": answers}
                break


def entailed(data: Path, split: str) -> Iterable[Row]:
    """Yield a premise with three hypotheses, one for each label; the entailed one is the right choice."""
    found: dict[str, dict[str, str]] = {}
    for row in _csv(_file(data, "snli_dev/", split, "csv")):
        found.setdefault(row["text_a"], {})[row["label"]] = row["text_b"]
    for premise, choices in found.items():
        if len(choices) == 3:
            names = sorted(choices)
            random.Random(premise).shuffle(names)
            yield {"question": premise, "choices": [choices[n] for n in names], "label": names.index("entailment")}


def drawings(_: Path, split: str) -> Iterable[Row]:
    """Yield images of a shape in a random colour, place and size on noise."""
    generator = np.random.default_rng(len(split))
    for _ in range(2000):
        shape = SHAPES[int(generator.integers(len(SHAPES)))]
        image = Image.fromarray(generator.integers(0, 160, (64, 64, 3)).astype(np.uint8))
        radius = int(generator.integers(8, 20))
        x, y = (int(value) for value in generator.integers(radius, 64 - radius, 2))
        colour = tuple(int(value) for value in generator.integers(90, 256, 3))
        _draw(ImageDraw.Draw(image), shape, x, y, radius, colour)
        yield {"image": image, "label": shape}


def _draw(draw: ImageDraw.ImageDraw, shape: str, x: int, y: int, radius: int, colour: tuple[int, ...]) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    elif shape == "triangle":
        draw.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
    else:
        draw.line([(x - radius, y), (x + radius, y)], fill=colour, width=5)
        draw.line([(x, y - radius), (x, y + radius)], fill=colour, width=5)


def write_tables(pair: Pair, data: Path, folder: Path, most: int | None = None) -> None:
    """Write the rows of each stage, drawn at random but the same for all seeds, as JSON lines; at most `most`."""
    for name, stage in pair.stages.items():
        for split, count in (("train", stage.train), ("test", stage.test)):
            pool = list(islice(stage.rows(data, split), POOL))
            rows = random.Random(0).sample(pool, min(most or count, len(pool)))
            with (folder / f"{name}_{split}.jsonl").open("w", encoding="utf-8") as lines:
                for number, row in enumerate(rows):
                    if "image" in row:
                        file = folder / f"{name}_{split}_{number}.png"
                        row["image"].save(file)
                        row["image"] = file.name
                    lines.write(json.dumps(row) + "\n")


def _file(data: Path, beginning: str, split: str, suffix: str) -> Path:
    test = data / f"{beginning}test.{suffix}"
    return data / f"{beginning}{split if split == 'train' or test.exists() else 'validation'}.{suffix}"


def _csv(file: Path) -> Iterable[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


TEXT, TEXTS = {"text": "text", "label": "label"}, {"text_a": "text_a", "text_b": "text_b", "label": "label"}
PAIRS = {
    "classification": Pair(
        source=Stage("classification", partial(table, beginning="sst2/", **TEXT), 200, 50, epochs=1),
        target=Stage("classification", partial(table, beginning="customer_reviews/", **TEXT), 120, 200),
        metric="accuracy",
    ),
    "pairs of texts": Pair(
        source=Stage("classification", partial(table, beginning="mnli_dev/", **TEXTS), 120, 50, epochs=1),
        target=Stage("classification", partial(table, beginning="scitail_dev/", **TEXTS), 80, 150),
        metric="accuracy",
    ),
    "regression": Pair(
        source=Stage("regression", partial(scored, beginning="vader_domains/movie_"), 160, 50, epochs=1),
        target=Stage("regression", partial(scored, beginning="vader_domains/tweets_"), 160, 200),
        metric="pearson",
    ),
    "multi-label": Pair(target=Stage("multi_label", entity_types, 400, 200), metric="micro_f1"),
    "tagging": Pair(
        source=Stage("tagging", partial(tagged, beginning="ud_english_ewt/"), 160, 50, 1, 3e-4),
        target=Stage("tagging", partial(tagged, beginning="wikiann_en/"), 240, 200, 2, 3e-4),
        metric="entity_f1",
    ),
    "masked words": Pair(
        source=Stage("masked_language", partial(table, beginning="vader_domains/movie_", text="text"), 320, 100, 1),
        target=Stage("classification", partial(table, beginning="sst2/", **TEXT), 16, 16),
        metric="loss",
    ),
    "question answering": Pair(
        target=Stage("question_answering", entity_questions, 160, 100, 2, 5e-4, 8), metric="exact_match"
    ),
    "multiple choice": Pair(target=Stage("multiple_choice", entailed, 80, 100), metric="accuracy"),
    "sequence to sequence": Pair(
        target=Stage(
            "sequence_to_sequence",
            partial(table, beginning="multi30k_en_de/", text="text_a", target="text_b"),
            *(800, 60, 2, 2e-3, 16, 32),
        ),
        metric="chrf",
        encoder="t5",
    ),
    "images": Pair(target=Stage("image_classification", drawings, 400, 200, 4, 1e-3), metric="accuracy", encoder="vit"),
}
