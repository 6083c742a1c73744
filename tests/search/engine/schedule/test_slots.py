"""The number of trials at a time follows the size of the cluster."""

from pathlib import Path
from typing import Any

from search.engine.schedule.slots import LOOK_SECONDS, Slots, SlotsOfCluster
from search.plan.plan import build_plan
from search.study.sweep_study import SLOTS, SweepStudy


def test_the_slots_are_those_of_the_nodes_and_the_most_are_stored(blocks: dict[str, Any], tmp_path: Path) -> None:
    plan = build_plan(blocks, (tmp_path,), "test")
    study = SweepStudy(tmp_path / "study.db", plan.settings, plan.space, 0)
    slots, cluster, now = Slots(1), [1], [0.0]
    watch = SlotsOfCluster(slots, study, lambda: cluster[-1], lambda: now[-1])
    cluster.append(3)
    watch.on_step_begin(0, [])
    assert slots.now == 1  # it does not look at each step
    for there, expected, most in ((3, 3, 3), (0, 1, 3), (2, 2, 3), (4, 4, 4)):
        cluster.append(there)
        now.append(now[-1] + LOOK_SECONDS)
        watch.on_step_begin(1, [])
        assert (slots.now, slots.most, study.user_attr(SLOTS)) == (expected, most, most)
