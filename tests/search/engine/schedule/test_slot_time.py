"""The seconds of the slots: all of them, and those without a trial after the last one had started."""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial

from search.engine.schedule.pending import PendingTrials
from search.engine.schedule.slot_time import SlotTime
from search.engine.schedule.slots import Slots
from search.plan.plan import build_plan
from search.study.sweep_study import SLOT_SECONDS, TAIL_SECONDS, SweepStudy


def test_the_seconds_of_all_slots_and_those_at_the_end_without_a_trial(blocks: dict[str, Any], tmp_path: Path) -> None:
    blocks["sweep"] |= {"trials": 3}
    plan = build_plan(blocks, (tmp_path,), "test")
    study, slots, now = SweepStudy(tmp_path / "study.db", plan.settings, plan.space, 0), Slots(1), [0.0]
    running = PendingTrials(slots, plan.settings)
    slot_time = SlotTime(slots, running, study, lambda: now[-1])
    records = [study.begin_search_trial() for _ in range(3)]
    trials = [Trial("tiny", trial_id=str(r.key), config={"key": r.key}, stub=True) for r in records if r]

    def step(seconds: float, starts: Trial | None = None, ends: Trial | None = None) -> None:
        now.append(now[-1] + seconds)
        slot_time.on_step_begin(0, [])
        if ends:
            running.on_trial_complete(0, [], ends)
        if starts:
            slot_time.on_trial_start(0, [], starts)
            running.on_trial_start(0, [], starts)

    step(2, starts=trials[0])
    slots.change(3)
    step(4, starts=trials[1])
    step(1, starts=trials[2], ends=trials[0])
    step(8, starts=trials[1])  # its process had died
    step(2, ends=trials[1])
    step(5, ends=trials[2])
    step(1)
    slot_time.on_experiment_end([])
    assert study.user_attr(SLOT_SECONDS) == 2 + 3 * 21
    assert study.user_attr(TAIL_SECONDS) == 8 + 2 + 2 * 5 + 3 * 1
    later = SlotTime(slots, PendingTrials(slots, plan.settings), study, lambda: now[-1])
    now.append(now[-1] + 1)
    later.on_experiment_end([])
    assert study.user_attr(SLOT_SECONDS) == 2 + 3 * 22
    assert study.user_attr(TAIL_SECONDS) == 23  # no trial has started
