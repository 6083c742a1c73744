import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from spaces import shipped

ROWS = list(csv.DictReader((shipped()["quickstart"].parent / "samples" / "films.csv").open(encoding="utf-8")))


def test_place_and_regret_of_a_ranking(script: Callable[[str], ModuleType]) -> None:
    ranked = [{"source": name, "knn": knn} for name, knn in (("films", 0.9), (None, 0.8), ("mail", 0.7))]
    result = script("rank_sources").Result("tweets", 0, ranked, 1.0, {"films": 0.7, "no source": 0.75, "mail": 0.8})
    assert (result.place, result.regret(1), result.regret(2)) == (3, pytest.approx(0.1), pytest.approx(0.05))
    assert result.correlation("knn") == -1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rank_sources(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    for folder in ("vader_domains/tweets_", "vader_domains/movie_", "sst2/"):
        for split, rows in (("train", ROWS[:100]), ("validation", ROWS[100:120]), ("test", ROWS[120:150])):
            file = tmp_path / "data" / f"{folder}{split}.csv"
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("w", encoding="utf-8", newline="") as lines:
                csv.writer(lines).writerows([("text", "label"), *((row["text"], row["label"]) for row in rows)])
    sizes = ["--draws", 0, "--source-rows", 32, "--test-rows", 16]
    given = ["--targets", "tweets-64", "--sources", "movie", "sst2", *sizes]
    (result,) = run("rank_sources", "--data", tmp_path / "data", *given)["results"]
    assert set(result["scores"]) == {"movie", "sst2", "no source"}
    assert json.dumps(result)
