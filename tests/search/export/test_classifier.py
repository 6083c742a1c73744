"""`transfersweep.classifier` labels single rows and lists, and says what is wrong with others."""

import re
from pathlib import Path

import pytest
from transformers import pipeline

import transfersweep
from search.export.export import export_trial
from search.export.exportable import choose
from search.storage.sweep_folder import SweepFolder
from trainable.errors import ConfigError

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def folder(swept: SweepFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trial(choose(swept.name, swept.storage, tmp_path_factory.mktemp("exported") / "model")).folder


def test_it_gives_what_a_pipeline_gives(folder: Path) -> None:
    classify = transfersweep.classifier(folder)
    texts = ["what a good day", "word " * 3000, ""]
    theirs = pipeline("text-classification", model=str(folder), truncation=True)(texts)
    found = classify(texts)
    assert [p.label for p in found] == [answer["label"] for answer in theirs]
    assert [p.probability for p in found] == pytest.approx([answer["score"] for answer in theirs], abs=1e-5)
    assert classify(texts[0]).probabilities == pytest.approx(found[0].probabilities, abs=1e-5)
    assert sum(found[0].probabilities.values()) == pytest.approx(1)
    assert tuple(found[0].probabilities) == classify.labels == ("negative", "positive")
    assert classify([]) == []


def test_the_lines_of_the_readme(folder: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (lines,) = [block.strip().splitlines() for block in blocks if "classifier" in block]
    names: dict[str, object] = {}
    exec("\n".join(lines[:-1]).replace('"sms-model"', repr(str(folder))), names)
    assert eval(lines[-1], names) in {"negative", "positive"}


def test_rows_of_another_kind_are_refused(folder: Path) -> None:
    classify = transfersweep.classifier(folder)
    with pytest.raises(TypeError, match=r"row 1: this model labels a text, got \('a', 'b'\)"):
        classify(["a", ("a", "b")])
    with pytest.raises(TypeError, match="row 0: this model labels a text"):
        classify(("a", "b"))


def test_pairs_are_tuples(swept_pairs: SweepFolder, tmp_path: Path) -> None:
    classify = transfersweep.classifier(
        export_trial(choose(swept_pairs.name, swept_pairs.storage, tmp_path / "pairs")).folder
    )
    theirs = pipeline("text-classification", model=str(tmp_path / "pairs"))(
        {"text": "how are you", "text_pair": "fine"}
    )
    assert classify(("how are you", "fine")).probability == pytest.approx(theirs["score"], abs=1e-5)
    with pytest.raises(TypeError, match=r"row 0: this model labels a pair of texts \(said, answer\), got 'fine'"):
        classify("fine")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder that `transfersweep export` wrote"):
        transfersweep.classifier(tmp_path)
