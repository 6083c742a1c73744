"""What a sweep can be called, and what is said of a name that cannot be."""

import pytest

from search.storage.sweep_name import checked_name


@pytest.mark.parametrize("name", ["a", "sms-spam", "run_2.1", "2024", "A" * 100])
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem", "instead"),
    [
        ("Müller Versuch", "has 'ü', a space in it", "Muller-Versuch"),
        ("Straße", "has 'ß' in it", "Strasse"),
        ("films/first", "has '/' in it", "films-first"),
        ("-first", "begins with '-', not with a letter or digit", "first"),
        (".hidden", "begins with '.', not with a letter or digit", "hidden"),
        ("实验", "has '实', '验' in it", "first-try"),
        ("", "is empty", "first-try"),
        ("a" * 101, "has 101 characters, more than 100", "a" * 100),
        ("a\n", r"has '\n' in it", "a"),
    ],
)
def test_any_other_name_is_told_what_is_wrong_and_one_that_can_be(name: str, problem: str, instead: str) -> None:
    with pytest.raises(ValueError, match="a name has letters a to z, digits, dots, dashes and underscores") as caught:
        checked_name(name)
    assert f" {problem}; " in str(caught.value)
    assert str(caught.value).endswith(f", such as {instead}")
    assert checked_name(instead) == instead
