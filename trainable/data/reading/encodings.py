"""Decodes text files strictly; if a file has another encoding than expected, the message names the likely one."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator

from trainable.errors import ConfigError

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SAMPLE = 100_000  # bytes from the first wrong line on, used to guess the encoding
_SHOWN = 24  # characters of the decoded text that a message quotes


def decode(data: bytes, name: str, encoding: str = "utf-8") -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        ConfigError: with the line of the first wrong byte and the likely encoding, or if the file is empty.
    """
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ConfigError(_undecodable(error, name, encoding)) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        guess = _utf16_by_zeros(data)
        raise ConfigError(f"{name}: line {line}: a NUL byte; {_advice([guess] if guess else [])}")
    if not text.strip():
        raise ConfigError(f"{name}: the file is empty")
    return text


def _undecodable(error: UnicodeDecodeError, name: str, encoding: str) -> str:
    data, start = error.object, error.start
    line = data[:start].decode(encoding, "ignore").count("\n") + 1
    what = f"{name}: line {line}: byte 0x{data[start]:02x} is not {encoding.upper()}"
    if encoding != "utf-8":
        return f"{what}; name the file's encoding with `encoding:`, or save the file as UTF-8"
    if _is_mostly_utf8(data):
        return f"{what}, though most of the file is; was it joined from two files? repair this line"
    return f"{what}; {_advice(_likely_encodings(data, start))}"


def _is_mostly_utf8(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    beyond_ascii, wrong = len(text) - len(text.encode("ascii", "ignore")), text.count("\ufffd")
    return beyond_ascii > 3 * wrong


def _advice(likely: list[tuple[str, str]]) -> str:
    if not likely:
        return "save the file as UTF-8, or name its encoding with `encoding:`"
    seems = " or ".join(f"{encoding} ({sample!r})" for encoding, sample in likely)
    return f"the file seems to be {seems}; set `encoding: {likely[0][0]}`, or save the file as UTF-8"


def _likely_encodings(data: bytes, start: int) -> list[tuple[str, str]]:
    """Return up to two likely encodings, the more likely one first, each with a piece of the decoded text."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return [(encoding, _shown(data[: 4 * _SHOWN].decode(encoding, "ignore")))]
    if zeros := _utf16_by_zeros(data):
        return [zeros]
    begin = data.rfind(b"\n", 0, start) + 1
    sample = data[begin : begin + _SAMPLE]
    if len(data) > begin + _SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1]
    by_text: dict[str, str] = {}
    for encoding, shown in _by_expected_characters(sample):
        by_text.setdefault(shown, encoding)
    return [(encoding, shown) for shown, encoding in by_text.items()][:2]


def _utf16_by_zeros(data: bytes) -> tuple[str, str] | None:
    """Recognise UTF-16 without a byte order mark: every second byte of ASCII text is zero."""
    pairs = len(data[:_SAMPLE]) // 2
    for encoding, first in (("utf-16-be", 0), ("utf-16-le", 1)):
        if pairs and data[first:_SAMPLE:2].count(0) > pairs / 2 > 10 * data[1 - first : _SAMPLE : 2].count(0):
            return encoding, _shown(data[: 2 * _SHOWN].decode(encoding, "ignore"))
    return None


def _by_expected_characters(sample: bytes) -> Iterator[tuple[str, str]]:
    """Yield the encodings that decode most non-ASCII bytes to characters that are common in their language."""
    runs = re.findall(rb"[\x80-\xff]+", sample)
    # Accented letters are single bytes among ASCII letters; letters of other scripts form long runs.
    candidates = _LATIN if len(b"".join(runs)) <= 2 * len(runs) else _OTHERS
    for encoding, expected, share in candidates:
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        characters = re.findall(r"[^\x00-\x7f]", text)
        if characters and sum(map(expected, characters)) >= share * len(characters):
            first = text.index(characters[0])
            yield encoding, _shown(text[max(0, text.rfind("\n", 0, first) + 1, first - _SHOWN // 2) :])


def _shown(text: str) -> str:
    return text.removeprefix("\ufeff").split("\n")[0][:_SHOWN].strip()


def _within(characters: str) -> Callable[[str], bool]:
    pattern = re.compile(f"[{characters}]")
    return lambda character: pattern.fullmatch(character) is not None


def _common_chinese(encoding: str, last: int) -> Callable[[str], bool]:
    """Return a test for Chinese characters in common use: their first byte in `encoding` is at most `last`."""

    def expected(character: str) -> bool:
        try:
            return character.encode(encoding)[0] <= last
        except UnicodeEncodeError:
            return False

    return expected


_KANA, _QUOTES = _within("ぁ-ヿ"), "‘’“”„–—…«»€£§°·•"
_LATIN = (
    ("windows-1252", _within(f"À-ÖØ-ïñ-öø-ýÿŒœŠšŽž¡¿ºª{_QUOTES}"), 0.95),
    ("windows-1254", _within(f"ÀÂÇÉÎÖÛÜàâçéîöûüĞğİıŞş{_QUOTES}"), 0.95),
    ("windows-1250", _within(f"Á-ÖØ-Ýá-öø-ýĀ-ž{_QUOTES}"), 0.9),
)
_OTHERS = (
    ("euc-kr", _within("가-힣"), 0.8),
    ("shift_jis", _KANA, 0.3),
    ("euc_jp", _KANA, 0.3),
    ("gb18030", _common_chinese("gb2312", 0xD7), 0.85),
    ("big5", _common_chinese("big5", 0xC6), 0.85),
    ("windows-1256", _within("ء-ي،؟"), 0.8),
    ("windows-1255", _within("א-ת"), 0.8),
    ("windows-1253", _within("ά-ώΆ-Ϋ"), 0.8),
    ("windows-1251", _within("а-яё"), 0.6),
)
"""(Encoding, test for expected characters, their lowest share of the non-ASCII ones). Specific encodings come first."""
