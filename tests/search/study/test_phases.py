"""The driver's seconds by phase are stored in the study over all sessions; `show` prints them."""

import io
import re
from dataclasses import replace

from rich.console import Console

from search.plan.plan import load_sweep
from search.record.records import Outcome
from search.show.times import AT_THE_END, BETWEEN, WAITING, print_times
from search.storage.sweep_folder import SweepFolder, load_outcome
from search.study.phases import Phases
from search.study.sweep_study import SweepStudy


def test_phases_add_up_over_sessions(swept: SweepFolder) -> None:
    plan = load_sweep(swept)
    first = Phases(SweepStudy(swept.study, plan.settings, plan.space, 0))
    with first.phase("search"):
        pass
    begun = first.read()
    second = Phases(SweepStudy(swept.study, plan.settings, plan.space, 0)).read()
    assert second["start"] > begun["start"] > 0
    assert second["search"] == begun["search"] > 0


def _lines(outcome: Outcome) -> dict[str, str]:
    """Return the printed lines by their first cell."""
    console = Console(file=io.StringIO(), width=100)
    print_times(outcome, console)
    return {re.split(r" {2,}", line.strip())[0]: line for line in console.file.getvalue().splitlines()}


def test_a_session_that_was_killed_has_no_shares(swept: SweepFolder) -> None:
    """It did not store the time of its search, so that the idle time is unknown."""
    outcome = load_outcome(swept)
    assert outcome is not None
    trials = tuple(replace(record, times={"prepare": {"seconds": 4.0}}) for record in outcome.trials[:1])
    lines = _lines(replace(outcome, trials=trials, phases={"start": 3.0}, slots=2, slot_seconds=0.0))
    assert "4.0" in lines["prepare"]
    assert "%" not in lines["prepare"]
    assert not {WAITING, BETWEEN, AT_THE_END} & lines.keys()


def test_shares_are_of_all_slots_and_padding_of_all_tokens(swept: SweepFolder) -> None:
    outcome = load_outcome(swept)
    assert outcome is not None
    times = {
        "target.train": {"seconds": 5.0, "tokens": 900, "computed": 1000, "ideal": 1.5},
        "prepare": {"seconds": 1.0},
    }
    trials = tuple(replace(record, times=times, seconds=7.5) for record in outcome.trials[:2])
    outcome = replace(outcome, trials=trials, phases={"start": 3.0, "search": 10.0}, slots=2, slot_seconds=0.0)
    lines = _lines(replace(outcome, tail_seconds=2.0))
    assert "3.0" in lines["start"]
    assert all(words in lines["target.train"] for words in ("10.0", "50.0%", "180", "10.0%", "30%"))
    assert "2.0" in lines["prepare"]
    assert "15.0%" in lines[WAITING]
    assert "15.0%" in lines[BETWEEN]
    assert "10.0%" in lines[AT_THE_END]
    lines = _lines(replace(outcome, slot_seconds=16.0, tail_seconds=0.0))  # the second slot came later
    assert all(words in lines[BETWEEN] for words in ("1.0", "6.2%"))
