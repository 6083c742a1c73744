"""The scores of a model on a labelled file, as values and as a person reads them."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from search.record.scores import TestScore
from search.show.scores_table import print_scores
from search.show.text_table import text_table
from trainable.data.message_text import quoted_if_unclear


@dataclass(frozen=True)
class Confusion:
    """Rows of one class that the model gave another."""

    label: str
    predicted: str
    rows: int


@dataclass(frozen=True)
class Mistake:
    """A row that the model answered wrongly."""

    position: str
    """Where it is in the file, such as `line 7`."""
    text: str
    label: str
    predicted: str
    probability: float
    """Of the predicted class."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a file."""

    model: str
    file: str
    metric: str
    """The metric that has an interval."""
    scores: TestScore
    confusions: tuple[Confusion, ...] = ()
    """The most frequent first; empty for a task without classes."""
    mistakes: tuple[Mistake, ...] = ()
    """The most confident first: often wrong labels; empty for a task without classes."""
    notes: tuple[str, ...] = ()

    def print(self, console: Console) -> None:
        """Print the scores, the most frequent confusions and the most confident mistakes."""
        for note in self.notes:
            console.print(Text(f"Note: {note}", style="yellow"), soft_wrap=True)
        console.print(Text(f"{self.model} on {self.file}", style="bold"))
        print_scores(self.scores, self.metric, console)
        if self.confusions:
            table = text_table("label", "predicted instead", "rows", gap=2, title="Most frequent confusions")
            for each in self.confusions:
                table.add_row(*map(_shown, (each.label, each.predicted)), str(each.rows))
            console.print(table)
        if self.mistakes:
            console.print(Text("Most confident mistakes; some may be wrong labels", style="bold"))
            for mistake in self.mistakes:
                label, predicted = quoted_if_unclear(mistake.label), quoted_if_unclear(mistake.predicted)
                answer = f"{label}, predicted {predicted} ({mistake.probability:.0%})"
                console.print(Text(f"  {mistake.position}: {answer}: {mistake.text}"))

    def to_json(self) -> dict[str, Any]:
        """Return the content as values that `json.dumps` accepts."""
        return asdict(self)


def _shown(label: str) -> Text:
    return Text(quoted_if_unclear(label))
