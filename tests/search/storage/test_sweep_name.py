"""Names of sweeps: valid ones, and the messages for invalid ones."""

import pytest

from search.storage.sweep_name import checked_name


@pytest.mark.parametrize("name", ["a", "sms-spam", "run_2.1", "2024", "A" * 100])
def test_a_valid_name_is_unchanged(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem", "instead"),
    [
        ("Müller Versuch", "contains 'ü', a space", "Muller-Versuch"),
        ("Straße", "contains 'ß'", "Strasse"),
        ("films/first", "contains '/'", "films-first"),
        ("-first", "begins with '-', not with a letter or digit", "first"),
        (".hidden", "begins with '.', not with a letter or digit", "hidden"),
        ("实验", "contains '实', '验'", "first-try"),
        ("", "is empty", "first-try"),
        ("a" * 101, "has 101 characters, more than 100", "a" * 100),
        ("a\n", r"contains '\n'", "a"),
    ],
)
def test_the_message_for_an_invalid_name_suggests_a_valid_one(name: str, problem: str, instead: str) -> None:
    with pytest.raises(
        ValueError, match="a name consists of letters a to z, digits, dots, dashes and underscores"
    ) as caught:
        checked_name(name)
    assert f" {problem}; " in str(caught.value)
    assert str(caught.value).endswith(f", such as {instead}")
    assert checked_name(instead) == instead
