"""What is worth knowing of the data stands in the checklist, once for each data set."""

import copy
from pathlib import Path
from typing import Any

from search.plan.data import check_data, summarise_data
from search.plan.plan import build_plan


def test_notes_and_warnings_of_the_data_are_in_the_checklist(blocks: dict[str, Any], tmp_path: Path) -> None:
    clean = summarise_data(check_data(build_plan(copy.deepcopy(blocks), (Path(),), "mine.yaml"), tmp_path))
    assert clean.state == "ok"
    rows = [f"{word} ነው {i},{('ham', 'Ham')[i % 2]}" for i, word in enumerate(["ጥሩ", "መጥፎ"] * 20)]
    file = tmp_path / "strange.csv"
    file.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    blocks["trial"]["target"]["dataset"] = {"csv": str(file), "test": "none", "max_overlap": 1}
    seen = summarise_data(check_data(build_plan(blocks, (Path(),), "mine.yaml"), tmp_path))
    said = "\n".join(seen.sentences)
    assert seen.state == "warning"
    assert seen.sentences[0].startswith("training rows: ")
    assert said.count("strange: tokenizer: ") == 1
    assert said.count("strange: labels: 2 classes differ only in blanks, case") == 1
