"""The sentences about a sweep's winner and its scores, for the terminal, the report and MLflow."""

from search.record.costs import limits_text
from search.record.records import Outcome
from search.wording import format_score


def winner_text(outcome: Outcome) -> str:
    """Return what won, in a line without a full stop."""
    if baseline := outcome.winner_as_baseline:
        return f"Winner: the baseline {baseline.title}, chosen on validation"
    if outcome.winner is None:
        within = f" within {limits_text(outcome.limits)}" if outcome.limits else ""
        return f"No winner: no trial has finished with a score{within}"
    return f"Winner: trial {outcome.winner}, chosen on validation"


def validation_text(outcome: Outcome) -> str | None:
    """Return the winner's validation score, with its spread over seeds; None without a score."""
    if baseline := outcome.winner_as_baseline:
        return f"validation {outcome.metric} {format_score(baseline.value)}"
    if outcome.winner is None or outcome.validation is None:
        return None
    values, sd = outcome.validation.values, outcome.validation.sd
    spread = "" if sd is None else f" ± {format_score(sd)}"
    one, more = ("seed", "seeds")
    if outcome.cross_validated or outcome.redraws_rows:
        one, more = ("draw of the rows", "draws of the rows")
    seeds = f"mean ± sd of {len(values)} {more}" if len(values) > 1 else f"1 {one}"
    return f"validation {outcome.metric} {format_score(outcome.validation.mean)}{spread} ({seeds})"


def exported_text(outcome: Outcome) -> str | None:
    """Return which run with the winner's settings is exported; None if there is no choice."""
    if outcome.winner is None or outcome.exported is None:
        return None
    run = outcome.record(outcome.exported)
    if run.role == "refit":
        return "Exported model: trained once more with these settings on all rows, validation rows included."
    if outcome.validation and len(outcome.validation.values) > 1:
        return f"Exported model: the run with seed {run.seed}, which has the best validation score."
    return None
