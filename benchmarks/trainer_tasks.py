"""What the peer of `tasks.py` needs for each task: features, a model, a collator and a score.

They are those of the guides of transformers. This module imports none of this project's packages.
"""

import re
import string
from typing import Any

import numpy as np
from PIL import Image
from sacrebleu.metrics import CHRF
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    default_data_collator,
)

Rows = list[dict[str, Any]]
IGNORED = -100
MOST_ANSWER_TOKENS = 30
TARGET_LENGTH = 32


class Classification:
    """A class for a text or a pair of texts; the other tasks say what is different."""

    model_class: Any = AutoModelForSequenceClassification
    model_settings: dict[str, Any] = {}
    generates = False

    def __init__(self, encoder: str, length: int, train: Rows, test: Rows) -> None:
        self.encoder, self.length, self.test = encoder, length, test
        self.names = self.label_names([*train, *test])
        self.prepare()
        self.features = {"train": self.encode(train), "test": self.encode(test)}

    def label_names(self, rows: Rows) -> list[str]:
        return sorted({row["label"] for row in rows})

    def prepare(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(self.encoder)

    def tokens(self, *texts: Any, **options: Any) -> Any:
        return self.tokenizer(*texts, truncation=True, max_length=self.length, **options)

    def encode(self, rows: Rows) -> Rows:
        columns = [name for name in ("text", "text_a", "text_b") if name in rows[0]]
        found = self.tokens(*([row[name] for row in rows] for name in columns))
        return [{name: found[name][i] for name in found} | {"labels": self.label(row)} for i, row in enumerate(rows)]

    def label(self, row: dict[str, Any]) -> Any:
        return self.names.index(row["label"])

    def collator(self, model: Any) -> Any:
        return DataCollatorWithPadding(self.tokenizer)

    def new_model(self, weights: str) -> Any:
        settings = {"id2label": dict(enumerate(self.names))} | self.model_settings
        return self.model_class.from_pretrained(weights, ignore_mismatched_sizes=True, **settings)

    def score(self, result: EvalPrediction) -> float:
        return float(accuracy_score(result.label_ids, result.predictions.argmax(-1)))


class Regression(Classification):
    def label_names(self, rows: Rows) -> list[str]:
        return ["number"]

    def label(self, row: dict[str, Any]) -> Any:
        return row["label"]

    def score(self, result: EvalPrediction) -> float:
        return float(pearsonr(result.label_ids, result.predictions[:, 0]).statistic)


class MultiLabel(Classification):
    model_settings = {"problem_type": "multi_label_classification"}

    def label_names(self, rows: Rows) -> list[str]:
        return sorted({name for row in rows for name in row["label"]})

    def label(self, row: dict[str, Any]) -> Any:
        return [float(name in row["label"]) for name in self.names]

    def score(self, result: EvalPrediction) -> float:
        return float(f1_score(result.label_ids, result.predictions > 0, average="micro"))


class Tagging(Classification):
    model_class = AutoModelForTokenClassification

    def label_names(self, rows: Rows) -> list[str]:
        return sorted({tag for row in rows for tag in row["label"]})

    def encode(self, rows: Rows) -> Rows:
        found = self.tokens([row["text"] for row in rows], is_split_into_words=True)
        return [
            {name: found[name][i] for name in found} | {"labels": self._labels(found.word_ids(i), row["label"])}
            for i, row in enumerate(rows)
        ]

    def _labels(self, words: list[int | None], tags: list[str]) -> list[int]:
        """Return the tag of each word at its first token."""
        firsts = [word is not None and word not in words[:place] for place, word in enumerate(words)]
        return [self.names.index(tags[w]) if first else IGNORED for w, first in zip(words, firsts, strict=True)]

    def collator(self, model: Any) -> Any:
        return DataCollatorForTokenClassification(self.tokenizer)

    def score(self, result: EvalPrediction) -> float:
        """Return the F1 of entities; words that were cut off count as `O`."""
        right = predicted = true = 0
        for row, labels, found in zip(self.test, result.label_ids, result.predictions.argmax(-1), strict=True):
            tags = [self.names[tag] for tag in found[labels != IGNORED]]
            ours, theirs = entities(tags + ["O"] * (len(row["label"]) - len(tags))), entities(row["label"])
            right, predicted, true = right + len(ours & theirs), predicted + len(ours), true + len(theirs)
        return 2 * right / max(1, predicted + true)


def entities(tags: list[str]) -> set[tuple[str, int, int]]:
    """Return type, first word and end of each entity, as seqeval in its default mode; a plain tag is one by itself."""
    found, begin, open_type = set(), 0, ""
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.rpartition("-")
        continues = prefix == "I" and kind == open_type
        if open_type and not continues:
            found.add((open_type, begin, place))
            open_type = ""
        if tag != "O" and not continues:
            begin, open_type = place, kind
    return found


class MaskedWords(Classification):
    model_class = AutoModelForMaskedLM

    def label_names(self, rows: Rows) -> list[str]:
        return []

    def new_model(self, weights: str) -> Any:
        return self.model_class.from_pretrained(weights)

    def encode(self, rows: Rows) -> Rows:
        found = self.tokens([row["text"] for row in rows], return_offsets_mapping=True)
        return [{name: found[name][i] for name in found} for i in range(len(rows))]

    def collator(self, model: Any) -> Any:
        return WholeWords(self.tokenizer, whole_word_mask=True)


class WholeWords(DataCollatorForLanguageModeling):
    """Pads the offsets of tokens, too, by which transformers knows the words; it expects rows of one length."""

    def torch_call(self, examples: Rows) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in examples)
        offsets = [row["offset_mapping"] + [(0, 0)] * (longest - len(row["input_ids"])) for row in examples]
        return super().torch_call([r | {"offset_mapping": o} for r, o in zip(examples, offsets, strict=True)])


class QuestionAnswering(Classification):
    model_class = AutoModelForQuestionAnswering

    def label_names(self, rows: Rows) -> list[str]:
        return []

    def new_model(self, weights: str) -> Any:
        return self.model_class.from_pretrained(weights)

    def encode(self, rows: Rows) -> Rows:
        found = self.tokens([r["question"] for r in rows], [r["context"] for r in rows], return_offsets_mapping=True)
        self.offsets = [
            [
                span if part == 1 else None
                for span, part in zip(found["offset_mapping"][i], found.sequence_ids(i), strict=True)
            ]
            for i in range(len(rows))
        ]  # of the rows that were encoded last, which are the test rows
        names = [name for name in found if name != "offset_mapping"]
        return [{name: found[name][i] for name in names} | self._places(row, i) for i, row in enumerate(rows)]

    def _places(self, row: dict[str, Any], number: int) -> dict[str, int]:
        """Return the first and the last token of the answer."""
        begin = row["answers"]["answer_start"][0]
        end = begin + len(row["answers"]["text"][0])
        inside = [i for i, span in enumerate(self.offsets[number]) if span and span[0] < end and span[1] > begin]
        return {"start_positions": inside[0] if inside else 0, "end_positions": inside[-1] if inside else 0}

    def score(self, result: EvalPrediction) -> float:
        begins, ends = result.predictions
        return float(np.mean([self._is_right(i, begins[i], ends[i]) for i in range(len(self.test))]))

    def _is_right(self, number: int, begin: Any, end: Any) -> bool:
        offsets, row = self.offsets[number], self.test[number]
        usable = np.array([span is not None for span in offsets])
        size = len(offsets)
        scores = np.where(usable, begin[:size], -np.inf)[:, None] + np.where(usable, end[:size], -np.inf)[None]
        scores = np.where(np.triu(np.tri(size, k=MOST_ANSWER_TOKENS - 1, dtype=bool)), scores, -np.inf)
        first, last = np.unravel_index(scores.argmax(), scores.shape)
        answer = row["context"][offsets[first][0] : offsets[last][1]]
        return plain(answer) == plain(row["answers"]["text"][0])


def plain(text: str) -> str:
    """Return an answer as SQuAD's script compares it."""
    without = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", without).split())


class MultipleChoice(Classification):
    model_class = AutoModelForMultipleChoice

    def label_names(self, rows: Rows) -> list[str]:
        return []

    def new_model(self, weights: str) -> Any:
        return self.model_class.from_pretrained(weights)

    def encode(self, rows: Rows) -> Rows:
        made = []
        for row in rows:
            found = self.tokens([row["question"]] * len(row["choices"]), row["choices"])
            made.append({**found, "labels": row["label"]})
        return made

    def collator(self, model: Any) -> Any:
        return DataCollatorForMultipleChoice(self.tokenizer)


class Translation(Classification):
    model_class = AutoModelForSeq2SeqLM
    generates = True

    def label_names(self, rows: Rows) -> list[str]:
        return []

    def new_model(self, weights: str) -> Any:
        return self.model_class.from_pretrained(weights)

    def encode(self, rows: Rows) -> Rows:
        found = self.tokens([row["text"] for row in rows])
        targets = self.tokenizer(text_target=[row["target"] for row in rows], truncation=True, max_length=TARGET_LENGTH)
        labels = targets["input_ids"]
        return [{name: found[name][i] for name in found} | {"labels": labels[i]} for i in range(len(rows))]

    def collator(self, model: Any) -> Any:
        return DataCollatorForSeq2Seq(self.tokenizer, model=model)

    def score(self, result: EvalPrediction) -> float:
        ids = np.where(result.predictions == IGNORED, self.tokenizer.pad_token_id, result.predictions)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return float(CHRF().corpus_score(texts, [[row["target"] for row in self.test]]).score)


class Images(Classification):
    model_class = AutoModelForImageClassification

    def prepare(self) -> None:
        self.processor = AutoImageProcessor.from_pretrained(self.encoder)

    def encode(self, rows: Rows) -> Rows:
        pixels = self.processor([Image.open(row["image"]) for row in rows], return_tensors="pt")["pixel_values"]
        return [{"pixel_values": pixels[i], "labels": self.label(row)} for i, row in enumerate(rows)]

    def collator(self, model: Any) -> Any:
        return default_data_collator


TASKS: dict[str, type[Classification]] = {
    "classification": Classification,
    "regression": Regression,
    "multi_label": MultiLabel,
    "tagging": Tagging,
    "masked_language": MaskedWords,
    "question_answering": QuestionAnswering,
    "multiple_choice": MultipleChoice,
    "sequence_to_sequence": Translation,
    "image_classification": Images,
}
