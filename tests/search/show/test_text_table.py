import io

import pytest
from rich.console import Console

from search.show.text_table import text_table


@pytest.mark.parametrize(("gap", "line"), [(1, "ham      0.5"), (2, "ham       0.5")])
def test_text_stands_left_and_numbers_right(gap: int, line: str) -> None:
    table = text_table("class", "score", gap=gap)
    table.add_row("ham", "0.5")
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert line in [row.strip() for row in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_only_columns_of_text_become_narrower() -> None:
    table = text_table("state", "score", "settings", framed=False)
    table.add_row("finished", "0.1234", "many words " * 20)
    console = Console(file=io.StringIO(), width=30)
    console.print(table)
    assert "finished 0.1234 many words" in console.file.getvalue()  # type: ignore[attr-defined]
