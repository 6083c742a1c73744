"""Prints a ranking of sources and encoders."""

import math
from pathlib import PurePath

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from search.record.ranking import SCORES, RankedCandidate, Ranking
from search.show.text_table import text_table
from trainable.data.message_text import quoted_if_unclear

_BAR = 16  # characters of the longest bar
_LONGEST_NAME = 24  # characters
HEADINGS = {"log_me": "LogME", "h_score": "H-score", "knn": "k-NN"}
MEANING = (
    "Higher is better. The order is the mean place in the three columns. The bar is k-NN: the share of rows whose "
    "nearest other rows have the same label."
)


def print_ranking(ranking: Ranking, console: Console) -> None:
    """Print the candidates best first, with a bar for each, and what the figures mean."""
    console.print(Text(f"Which source, which encoder? {ranking.rows} rows of {ranking.target}", style="bold"))
    console.print(ranking_table(ranking))
    for each in ranking.candidates:
        if each.error:
            console.print(Text(f"{_name(each)}: {each.error}", style="red"))
    console.print(Text(f"{MEANING} A source had one epoch on up to {ranking.source_rows} rows.{_caution(ranking)}"))


def _caution(ranking: Ranking) -> str:
    """Return a sentence on the chance in the k-NN column: two standard errors of the best share."""
    share = max(each.knn or 0.0 for each in ranking.candidates)
    error = 2 * math.sqrt(share * (1 - share) / ranking.rows)
    return f" With {ranking.rows} rows, differences of k-NN below about {error:.2f} may be chance." if error else ""


def ranking_table(ranking: Ranking) -> RichTable:
    """Return a table of the candidates, best first, with a bar for each."""
    encoders = len({each.encoder for each in ranking.candidates}) > 1
    table = text_table("#", *(["encoder"] if encoders else []), "source", *HEADINGS.values(), "", gap=2)
    for place, each in enumerate(ranking.candidates, 1):
        cells = [_short(PurePath(each.encoder).name)] if encoders else []
        figures = ["-" if (value := getattr(each, name)) is None else f"{value:.3f}" for name in SCORES]
        table.add_row(str(place), *cells, _short(each.title), *figures, "█" * round(_BAR * (each.knn or 0.0)))
    return table


def _short(name: str) -> Text:
    name = quoted_if_unclear(name)
    return Text(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")


def _name(each: RankedCandidate) -> str:
    return f"{PurePath(each.encoder).name}, {each.title}"
