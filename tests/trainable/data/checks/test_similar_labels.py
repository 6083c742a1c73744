"""Notes name labels that look the same, in distinguishable form, with the setting that joins them."""

import json
from pathlib import Path

import pytest

from trainable.data.checks.similar_labels import lookalike_labels_note, similar_labels
from trainable.data.message_text import quoted, quoted_if_unclear
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset
from trainable.settings.yaml_file import parse_value
from trainable.tasks.registry import read_splits

ALIKE = {
    "blank behind": ("spam", "spam "),
    "blank before": ("spam", "\tspam"),
    "blanks inside": ("not spam", "not  spam"),
    "case": ("spam", "Spam"),
    "sharp s": ("Stra\u00dfe", "STRASSE"),
    "decomposed": ("Qualit\u00e9", "Qualite\u0301"),
    "compatible": ("\ufb01ne", "fine"),
    "full-width": ("\uff33pam", "Spam"),
    "zero-width": ("spam", "sp\u200bam"),
    "byte-order mark": ("spam", "\ufeffspam"),
    "non-breaking": ("not spam", "not\u00a0spam"),
    "quotes": ('it\'s "good"', 'it\'s "good"\u00a0'),
    "Hangul": ("\uac00", "\u1100\u1161"),
    "variation selector": ("\U0001f44d", "\U0001f44d\ufe0f"),
    "ideographic variation": ("\u845b", "\u845b\U000e0100"),
    "filler": ("spam", "spam\u3164"),
    "half-width": ("\uff76", "\u30ab"),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_similar_labels_are_noted_with_a_setting_that_joins_them(tmp_path: Path, kind: str) -> None:
    one, other = ALIKE[kind]
    cells = [(one, other, "third")[i % 3] for i in range(60)]
    lines = [json.dumps({"text": f"text {i}", "label": cell}) for i, cell in enumerate(cells)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    splits = read_splits(Dataset(json="t.jsonl"), [tmp_path])
    (note,) = splits.notes
    assert len(splits.label_names) == 3
    assert (
        "2 classes differ only in blanks, case, Unicode form or the spelling of a number, and may be meant as 1: "
        in note
    )
    assert f"{quoted(one)} 20x" in note
    assert f"{quoted(other)} 20x" in note
    shown = quoted(one), quoted(other)
    assert any(map(str.isascii, shown)) or "\\u" in shown[1].lower() or kind in ("half-width", "full-width")
    labels = parse_value(note.partition("labels: ")[2].partition("`labels: ")[2].rstrip("`"), "labels")
    joined = read_splits(Dataset(json="t.jsonl", labels=labels), [tmp_path])
    assert len(joined.label_names) == 2
    assert not joined.notes


def test_an_unseen_label_is_reported_with_the_similar_training_label(tmp_path: Path) -> None:
    for name, labels in (("t.csv", ["spam", "ham"]), ("v.csv", ["Spam ", "ham"])):
        rows = [f"{name} {i},{labels[i % 2]}" for i in range(20)]
        (tmp_path / name).write_text("\n".join(["text,label", *rows]))
    with pytest.raises(ConfigError, match=r"'Spam ' 10x, the first on line 2; .* with `labels:` \('Spam ' = 'spam'\)$"):
        read_splits(Dataset(train="t.csv", validation="v.csv"), [tmp_path])


def test_a_rare_label_is_reported_with_the_similar_label(tmp_path: Path) -> None:
    rows = [f"text {i},{['spam', 'ham'][i % 2]}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, "text 30,Ham"]))
    with pytest.raises(ConfigError, match=r"'Ham', the first on line 32; .* with `labels:` \('ham' = 'Ham'\)$"):
        read_splits(Dataset(csv="t.csv"), [tmp_path])


def test_different_labels_are_not_similar() -> None:
    assert not similar_labels({"spam": 1, "ham": 2, "e": 1, "\u00e9": 1, "m2": 1, "m\u00b3": 1, "A1": 1, "A-1": 1})


def test_many_groups_are_counted_and_a_long_setting_is_cut(tmp_path: Path) -> None:
    names = [f"a rather long name of a class {i // 2}{' ' * (i % 2)}" for i in range(20)]
    lines = [json.dumps({"text": f"text {i}", "label": names[i % 20]}) for i in range(100)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    (note,) = read_splits(Dataset(json="t.jsonl"), [tmp_path]).notes
    assert (
        "20 classes differ only in blanks, case, Unicode form or the spelling of a number, and may be meant as 10"
        in note
    )
    assert "and 5 more groups" in note
    assert len(note) < 1200
    named = read_splits(Dataset(json="t.jsonl", labels={n: n for n in names}), [tmp_path])
    assert named.notes[0].endswith("to join them, give them one name in `labels`")


def test_a_name_is_quoted_only_if_one_cannot_see_all_of_it() -> None:
    plain = [
        "spam",
        "not spam",
        "D\u00e9faut",
        "\u4e2d\u6587",
        "it's",
        "m\u00b2",
        "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    ]
    assert [quoted_if_unclear(name) for name in plain] == plain
    assert quoted_if_unclear("spam ") == "'spam '"
    assert quoted_if_unclear("Qualite\u0301") == "'Qualite\\u0301'"
    assert quoted_if_unclear("a\u00a0b") == "'a\\xa0b'"


def test_labels_of_different_scripts_that_look_the_same_are_told_with_code_points() -> None:
    counts = {"neg": 5, "pos": 9, "p\u043es": 4, "Pos": 2}
    (note,) = lookalike_labels_note(counts, named=False)
    assert note.startswith(
        "labels: 3 classes look the same, with letters of different scripts, and may be meant as 1: "
        "'pos' 9x = 'p\\u043es' (U+043E CYRILLIC SMALL LETTER O) 4x = 'Pos' 2x; to join them, set `labels: {"
    )
    assert list(lookalike_labels_note({"pos": 1, "Pos": 2, "\u043d\u0435\u0442": 3}, named=False)) == []
    (note,) = lookalike_labels_note({"A": 1, "\u0391": 2}, named=True)
    assert note.endswith(
        "'\\u0391' (U+0391 GREEK CAPITAL LETTER ALPHA) 2x = 'A' 1x; to join them, give them one name in `labels`"
    )
