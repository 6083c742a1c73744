import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

import spaces
from spaces import Space, SpaceError, parse_space, shipped
from trainable.settings.yaml_file import load_yaml

optuna.logging.set_verbosity(optuna.logging.ERROR)

SAMPLES = Path(spaces.__file__).parent / "samples"
TWEETS = ("tweets_train.csv", "tweets_validation.csv", "tweets_test.csv")

each_file = pytest.mark.parametrize("path", shipped().values(), ids=shipped())


def rows(name: str) -> list[tuple[str, str]]:
    with (SAMPLES / name).open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_the_promised_files_are_shipped() -> None:
    assert set(shipped()) == {"quickstart", "bert_paper_grid", "head_only", "source_choice"}


@each_file
def test_a_shipped_file_gives_fifty_valid_suggestions(path: Path) -> None:
    space = parse_space(load_yaml(path)["space"])
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    for i in range(50):
        trial = study.ask()
        assert space.check(space.suggest(trial)) == []
        study.tell(trial, float(i % 5))


@each_file
def test_a_shipped_file_has_three_blocks_that_agree(path: Path) -> None:
    file = load_yaml(path)
    assert list(file) == ["sweep", "trial", "space"]
    space = parse_space(file["space"])
    for point in file["sweep"].get("start_with", []):
        assert space.check(point) == []
    for name in space.names:
        block, _, field = name.partition(".")
        assert field not in file["trial"].get(block, {}), f"{name} is fixed and searched"


@each_file
def test_a_shipped_file_reads_samples_that_are_there(path: Path) -> None:
    named = [text for text in strings(load_yaml(path)["trial"]) if text.endswith(".csv")]
    assert named
    assert [text for text in named if not (path.parent / text).is_file()] == []


def test_the_papers_grid_has_eighteen_points() -> None:
    file = load_yaml(shipped()["bert_paper_grid"])
    assert len(parse_space(file["space"]).grid()) == file["sweep"]["trials"] == 18


def test_the_quickstart_searches_the_five_names_and_the_source() -> None:
    space: Space = parse_space(load_yaml(shipped()["quickstart"])["space"])
    fields = ("learning_rate", "batch_size", "epochs", "padding_length", "frozen_layers")
    assert set(space.names) == {"source.enabled", *(f"target.{field}" for field in fields)}
    with pytest.raises(SpaceError, match="target.learning_rate"):
        space.grid()


@pytest.mark.parametrize(
    ("name", "negative", "positive"),
    [
        ("films.csv", 1021, 979),
        ("reviews.csv", 415, 585),
        ("tweets_train.csv", 32, 32),
        ("tweets_validation.csv", 86, 214),
        ("tweets_test.csv", 122, 278),
    ],
)
def test_a_sample_is_what_its_readme_says(name: str, negative: int, positive: int) -> None:
    assert Counter(label for _, label in rows(name)) == {"negative": negative, "positive": positive}
    assert all(text.strip() for text, _ in rows(name))
    assert f"| `{name}` | {negative + positive} | {negative} / {positive} |" in (SAMPLES / "README.md").read_text()


def test_no_text_is_in_two_files() -> None:
    # Letter case and spaces aside: what a reader would call the same text.
    texts = Counter(" ".join(text.lower().split()) for name in TWEETS for text, _ in rows(name))
    assert [text for text, count in texts.items() if count > 1] == []
    for source in ("films.csv", "reviews.csv"):
        assert not {text for text, _ in rows(source)} & set(texts)


def test_licence_and_citation_come_with_the_samples() -> None:
    assert "Copyright (c) 2016 C.J. Hutto" in (SAMPLES / "LICENSE-VADER.txt").read_text()
    assert "Hutto, C.J. & Gilbert, E.E. (2014)" in (SAMPLES / "README.md").read_text()
