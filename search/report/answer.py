"""The answer of a sweep in plain words, and the tables behind it: the same sentences as in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from search.advice.sweep import Sweep
from search.record.records import Outcome
from search.record.scores import Comparison, Score
from search.report.parts import Section, Table
from search.show.scores_table import never_predicted_text, score_text
from search.show.winner import exported_text, validation_text, winner_text
from search.study.selection import worth_of_stages
from search.wording import format_number


def answer(outcome: Outcome) -> list[str]:
    """Return the answer in sentences: the winner, its scores, what the search added, whether the source helped."""
    sentences = [winner_text(outcome), validation_text(outcome), exported_text(outcome), outcome.cut_short]
    sentences += [outcome.passed_over.sentence if outcome.passed_over else None]
    if outcome.test:
        sentences += [f"Test split, read once: {score_text(outcome.test, outcome.metric)}"]
        sentences += [never_predicted_text(outcome.test)]
    sentences += [outcome.gain.sentence if outcome.gain else None]
    sentences += [outcome.comparison.sentence if outcome.comparison else None]
    return [_sentence(text) for text in sentences if text]


def winner_section(outcome: Outcome) -> Section:
    """Return the winner's settings, and the obvious answers beside it."""
    return Section("The winner", tables=[*_settings(outcome), *_baselines(outcome)])


def source_section(sweep: Sweep) -> Section:
    """Return what each source stage was worth, with its interval where it is known."""
    outcome = sweep.outcome
    texts = [outcome.comparison.sentence] if outcome.comparison else []
    texts += [_sentence(text) for text in worth_of_stages(sweep.plan, outcome.trials)]
    texts += [outcome.ranking_check] if outcome.ranking_check else []
    tables = [_comparison(outcome.comparison, outcome.metric)] if outcome.comparison else []
    return Section("What the source was worth", texts, tables)


def _settings(outcome: Outcome) -> Iterator[Table]:
    if outcome.winner is not None:
        params = outcome.record(outcome.winner).params
        rows = tuple((name, format_number(value)) for name, value in params.items())
        yield Table("Settings that the search chose", ("setting", "value"), rows)


def _baselines(outcome: Outcome) -> Iterator[Table]:
    if outcome.baselines:
        rows = tuple((each.title, format_number(each.value), f"{each.seconds:.0f}") for each in outcome.baselines)
        caption = "The obvious answers, which the search must beat, on the validation split"
        yield Table(caption, ("baseline", outcome.metric, "seconds"), rows)


def _comparison(comparison: Comparison, metric: str) -> Table:
    def row(name: str, score: Score) -> tuple[str, ...]:
        return name, format_number(score.mean), format_number(score.sd), str(len(score.values))

    return Table(
        "With and without the source, on the validation split",
        ("training", f"mean {metric}", "standard deviation", "runs"),
        (row("with the source", comparison.with_source), row("without it", comparison.without_source)),
    )


def _sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop."""
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
