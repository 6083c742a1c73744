"""Whatever stands as README.md beside an encoder, its licence is read or the reason is said."""

import os
from pathlib import Path

import pytest

from search.export.licence import licence_of

BAD_YAML = b"---\nlicense: apache-2.0\nlanguage: [en, de\ntags:\n\t- bert\n---\n# our encoder\n"


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"---\nlicense: apache-2.0\n---\n# Text\n", "apache-2.0", None),
        (b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n", "mit", None),
        (b"---\nlicense: mit\n---\n" + bytes(10_000_000), "mit", None),
        (BAD_YAML, None, "is not YAML, line 4"),
        (b"---\nlicense: apache-2.0\n---\nEncodeur de l'\xe9quipe\n", None, "is not UTF-8"),
        (b"", None, "no front matter"),
        (b"# Only text\n", None, "no front matter"),
        (b"---\nlicense: mit\n", None, "no front matter"),
        (b"---\n---\n", None, "names no licence"),
        (bytes(range(256)), None, "is not UTF-8"),
        (b"---\n- license\n- mit\n---\n", None, "names no licence"),
        (b"---\nlicense: [mit, apache-2.0]\n---\n", None, "is not a name"),
        (b"---\nlicense: 7\n---\n", None, "is not a name"),
        (b"---\nlicense: ''\n---\n", None, "is not a name"),
        (b"---\nsince: 2020-13-45\nlicense: mit\n---\n", None, "is not YAML"),
        (b"---\nlicense: " + b"[" * 5000 + b"\n---\n", None, "is not YAML"),
        (b"---\nlicense: !!python/object/apply:os.getcwd []\n---\n", None, "is not YAML"),
    ],
)
def test_a_card_of_any_content(content: bytes, name: str | None, reason: str | None, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(content)
    found = licence_of(str(tmp_path))
    assert found.name == name
    assert (reason is None) == (found.reason is None)
    assert (reason or "") in (found.reason or "")


def test_no_card_is_nothing_to_speak_of_and_no_file_is(tmp_path: Path) -> None:
    assert licence_of(str(tmp_path)) == (None, None)
    (tmp_path / "README.md").mkdir()
    assert "is not a file" in (licence_of(str(tmp_path)).reason or "")
    (tmp_path / "README.md").rmdir()
    os.mkfifo(tmp_path / "README.md")
    assert "is not a file" in (licence_of(str(tmp_path)).reason or "")
