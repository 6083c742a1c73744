"""Files that are not UTF-8: the message names the encoding, and with this setting the file is read."""

from pathlib import Path

import pytest

from trainable.data.reading.encodings import decode
from trainable.data.reading.read_tables import read_tables
from trainable.errors import ConfigError
from trainable.settings.dataset import Dataset

TEXTS = {
    "windows-1252": "The café was nice, naïve crème brûlée “quoted” – it’s £5",
    "windows-1250": "Příliš žluťoučký kůň úpěl ďábelské ódy; zażółć gęślą jaźń",
    "windows-1254": "Bugün hava çok güzel, şimdi dışarı çıkıyoruz",
    "gb18030": "这家酒店的服务非常好，房间也很干净，下次还会来。",
    "big5": "這家酒店的服務非常好，房間也很乾淨，下次還會來。",
    "shift_jis": "このホテルはとても良かったです。また来たいと思います。",
    "euc_jp": "このホテルはとても良かったです。また来たいと思います。",
    "euc-kr": "이 호텔은 정말 좋았습니다. 다음에 또 오고 싶어요.",
    "windows-1251": "Этот отель был очень хороший, мы обязательно вернёмся",
    "windows-1253": "Αυτό το ξενοδοχείο ήταν πολύ καλό, θα ξαναπάμε",
    "windows-1255": "המלון הזה היה טוב מאוד, נחזור שוב",
    "windows-1256": "كان هذا الفندق جيدا جدا وسنعود إليه مرة أخرى",
    "utf-16": "a café",
    "utf-16-le": "plain words of some length",
    "utf-16-be": "plain words of some length",
    "utf-32": "a café",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_message_names_the_encoding_that_reads_the_file(encoding: str, tmp_path: Path) -> None:
    text = TEXTS[encoding]
    (tmp_path / "t.csv").write_bytes(f'text,label\nhello,1\n"{text}",0\n'.encode(encoding))
    with pytest.raises(ConfigError, match=rf"t.csv: line \d: .* seems to be {encoding} \(.*set `encoding: {encoding}`"):
        read_tables(Dataset(csv="t.csv"), [tmp_path])
    table = read_tables(Dataset(csv="t.csv", encoding=encoding), [tmp_path])["train"]
    assert table.cells("text") == ["hello", text]


def test_json_has_an_encoding_too(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes('{"text": "很好", "label": 1}\n'.encode("utf-16"))
    table = read_tables(Dataset(train="t.jsonl", encoding="utf-16"), [tmp_path])["train"]
    assert table.cells("text") == ["很好"]


def test_a_byte_order_mark_is_not_part_of_the_header() -> None:
    for encoding in ("utf-8", "utf-16-le", "utf-32-be"):
        assert decode("\ufefftext\na".encode(encoding), "t.csv", encoding) == "text\na"


def test_one_damaged_line_of_a_utf8_file_is_reported_as_damaged() -> None:
    data = "很好\nça va\n".encode() * 20
    with pytest.raises(ConfigError, match=r"line 41: byte 0xe9 is not UTF-8, though most of the file is"):
        decode(data + b"caf\xe9\n" + data, "t.csv")


def test_a_wrong_encoding_names_its_line() -> None:
    with pytest.raises(ConfigError, match=r"t.csv: line 2: byte 0x81 is not CP1252; name the file's encoding"):
        decode("text\nちは".encode("shift_jis").replace(b"\x82", b"\x81"), "t.csv", "cp1252")
