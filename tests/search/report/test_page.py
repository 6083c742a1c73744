"""The words of the report against the numbers of the study, and what the page may not contain."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from search.advice.sweep import Sweep
from search.record.comparison import compare
from search.record.records import Outcome
from search.record.scores import Baseline, Gain
from search.report.page import build_page, write_report
from search.show.current import current_outcome
from search.storage.sweep_folder import SweepFolder
from trainable.metrics.metric import Direction


@pytest.fixture(scope="module")
def sweep(swept: SweepFolder) -> Sweep:
    return Sweep.open(current_outcome(swept.name, swept.storage), swept)


class Page(HTMLParser):
    """The texts, attributes and elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.starts: list[tuple[str, dict[str, str | None]]] = []
        self._in: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.starts.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._in):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.starts if name == tag]


def text_of(sweep: Sweep, outcome: Outcome | None = None) -> str:
    return Page(build_page(replace(sweep, outcome=outcome or sweep.outcome))).text


def test_the_words_are_those_of_the_outcome(sweep: Sweep) -> None:
    text, outcome = text_of(sweep), sweep.outcome
    assert outcome.test is not None
    assert outcome.validation is not None
    assert "Winner: trial 0, chosen on validation." in text
    assert f"{outcome.validation.mean:.4f} (1 seed)." in text
    assert f"95 % interval {outcome.test.low:.4f} to {outcome.test.high:.4f}, {outcome.test.rows} rows." in text
    assert f"0 finished {outcome.validation.mean:.3g} 1 2" in text  # number, state, score, seconds, epochs
    assert "target. epochs" in text
    assert "The curves of the 1 stopped trials end early." in text


def test_a_source_that_hurts_and_a_baseline_that_wins_read_right(sweep: Sweep) -> None:
    comparison = compare([0.5, 0.52], [0.7, 0.71], "macro_f1", Direction.MAX, "films")
    best = Baseline("tfidf", {"macro_f1": 0.9}, 0.9, 1.0, 64, "baselines/tfidf")
    gain = Gain("tfidf", -0.1, "test", -0.2, -0.05, "The search added nothing: macro_f1 0.8 is below 0.9.")
    lost = replace(
        sweep.outcome,
        winner=None,
        exported=None,
        winning_baseline="tfidf",
        baselines=(best,),
        gain=gain,
        comparison=comparison,
    )
    text = text_of(sweep, lost)
    assert "Winner: the baseline TF-IDF + logistic regression, chosen on validation." in text
    assert "Winner: trial" not in text
    assert gain.sentence in text
    assert "The source 'films' hurt: macro_f1 0.5100 with it, 0.7050 without" in text


def test_nothing_is_loaded_and_only_own_scripts_run(sweep: Sweep) -> None:
    html = build_page(sweep)
    page = Page(html)
    assert not [a for tag, a in page.starts if tag in {"link", "img", "iframe"} or "src" in a]
    assert {a["href"] for _, a in page.starts if "href" in a} <= {f"#{a['id']}" for _, a in page.starts if "id" in a}
    policy = page.all("meta")[3]["content"] or ""
    (nonce,) = re.findall(r"script-src 'nonce-([\w-]+)'", policy)
    assert "default-src 'none'" in policy
    scripts = page.all("script")
    assert [s["nonce"] for s in scripts if "data-plot" not in s] == [nonce, nonce]
    assert html.count("plotly.js v") == 1
    assert nonce not in build_page(sweep)


def test_texts_of_users_cannot_become_parts_of_the_page(sweep: Sweep) -> None:
    evil = "</script></style><script>alert(1)</script><img src=x onerror=alert(2)>"
    assert sweep.outcome.test is not None
    classes = [replace(each, label=evil) for each in sweep.outcome.test.per_class]
    failed = [replace(record, error=evil) for record in sweep.outcome.trials]
    test = replace(sweep.outcome.test, per_class=classes, never_predicted=(evil,))
    html = build_page(replace(sweep, outcome=replace(sweep.outcome, notes=(evil,), trials=tuple(failed), test=test)))
    assert evil not in html
    assert Page(html).all("img") == []
    assert evil in Page(html).text


def test_every_figure_has_its_plot_and_a_description(sweep: Sweep) -> None:
    html = build_page(sweep)
    plots = re.findall(r'<script type="application/json" data-plot="([\w-]+)">(.*?)</script>', html)
    there = {a["id"]: a for a in Page(html).all("div") if a.get("role") == "img"}
    assert [name for name, _ in plots] == list(there)
    assert all(json.loads(plot)["data"] for _, plot in plots)
    assert all(len(a["aria-label"] or "") > 40 for a in there.values())


def test_the_report_is_written_where_it_is_asked_for(swept: SweepFolder, sweep: Sweep, tmp_path: Path) -> None:
    write_report(sweep.outcome, swept, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert not swept.report.exists()
