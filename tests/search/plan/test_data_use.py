"""Uses of data sets as the text in a sweep's plan: sweeps of older versions are read as they were written."""

from search.plan.data_use import DataUse, from_stored, to_stored

PRINTS = ("0123456789abcdef" * 4, "fedcba9876543210" * 4)


def test_the_stored_form_is_that_of_older_sweeps() -> None:
    stored = {f"source films {PRINTS[0][:8]}": PRINTS[0], f"target my tweets {PRINTS[1][:8]}": PRINTS[1]}
    uses = [DataUse("source", "films", PRINTS[0]), DataUse("target", "my tweets", PRINTS[1])]
    assert from_stored(stored) == uses
    assert to_stored(uses) == stored


def test_data_read_by_two_tokenizers_are_two_uses() -> None:
    uses = [DataUse("target", " odd  name ", fingerprint) for fingerprint in PRINTS]
    assert from_stored(to_stored(uses)) == uses
