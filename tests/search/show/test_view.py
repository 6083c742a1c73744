import io

import pytest
from rich.console import Console

from search.record.records import State, TrialRecord
from search.show.activity import Activity
from search.show.view import BudgetUsed, LiveView
from search.wording import format_duration, format_number, format_settings, last_line
from trainable.metrics.metric import Direction

USED = BudgetUsed(trials=3, minutes=4.25, worker_hours=0.14)


def record(number: int, state: State, **fields: object) -> TrialRecord:
    params = {"target.learning_rate": 3e-05 * (number + 1), "target.batch_size": 16, "source.enabled": True}
    return TrialRecord(number, state, params, seed=0, **fields)


TRIALS = [
    record(0, State.FINISHED, value=0.9, progress=1.0, seconds=61.0),
    record(1, State.STOPPED, value=0.5, progress=0.25, seconds=9.0),
    record(2, State.FAILED, error="Traceback\n  File x\nTrialError: the loss is [nan]", seconds=2.0),
    record(3, State.RUNNING, value=0.95, progress=0.5, seconds=30.0),
]


def view(console: Console) -> LiveView:
    return LiveView("sms", "macro_f1", Direction.MAX, "40 trials, 60 min", console, log_file="runs/sms/sweep.log")


def terminal() -> Console:
    return Console(file=io.StringIO(), width=80, height=40, force_terminal=True, color_system=None)


def plain() -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=False)


def output(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_sees_states_best_budget_time_left_and_log() -> None:
    console = terminal()
    with view(console) as live:
        live.update(TRIALS, USED, time_left=125.0)
    shown = output(console)
    for words in (
        "1 running, 1 finished, 1 stopped, 1 failed",
        "macro_f1 0.9500 in trial 3: learning_rate=0.00012",
        "3 trials, 4.2 min, 0.14 worker-hours of 40 trials, 60 min",
        "about 2 min 5 s",
        "runs/sms/sweep.log",
        "TrialError: the loss is [nan]",
    ):
        assert words in shown


def test_the_panel_fits_80_columns() -> None:
    console = terminal()
    with view(console) as live:
        live.update(TRIALS, USED)
    lines = [line for line in output(console).splitlines() if "│" in line]
    assert lines and all(len(line) == 80 for line in lines)
    assert any(line.split()[1:-1] == ["trial", "does", "left", "steps/s", "macro_f1"] for line in lines)


def test_a_running_trial_has_its_stage_its_pace_and_what_it_waits_for() -> None:
    console = terminal()
    running = [record(number, State.RUNNING) for number in range(4, 11)]
    activities = {
        4: Activity("source", done=0.45, steps_per_second=12.34, seconds_left=75),
        5: Activity("waits for source of 4", waits=True),
        6: Activity("waits for a free slot", waits=True),
        7: Activity("begins"),
    }
    with view(console) as live:
        live.update([*TRIALS[:2], *running], USED, activities=activities)
    lines = [" ".join(line.strip("│ ").split()) for line in output(console).splitlines()]
    assert "trials 5 running, 2 waiting, 1 finished, 1 stopped" in lines
    assert "4 source 45 % 1 min 15 s 12.3 -" in lines
    assert lines.index("7 begins -") < lines.index("and 2 more that run or wait"), "those that wait come last"
    assert "learning_rate=0.00015" in lines, "what is the same in all trials is left out"


def test_a_log_file_says_after_a_silence_what_is_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.show.view.QUIET_SECONDS", -1.0)
    console = plain()
    with view(console) as live:
        live.update([record(4, State.RUNNING)], USED, 125.0, activities={4: Activity("target", done=0.5)})
    _, *lines = output(console).splitlines()
    assert lines == [
        "1 running; 3 trials, 4.2 min, 0.14 worker-hours; time left: about 2 min 5 s",
        "  trial 4: target 50 %",
    ]


def test_no_terminal_gets_one_line_a_trial_without_control_codes() -> None:
    console = plain()
    with view(console) as live:
        live.update(TRIALS[3:], USED)
        live.update(TRIALS, USED)
        live.update(TRIALS, USED)
    head, *lines = output(console).splitlines()
    assert head == "sweep sms: 40 trials, 60 min; log: runs/sms/sweep.log"
    assert [line.split(":")[0] for line in lines] == ["trial 0 finished", "trial 1 stopped", "trial 2 failed"]
    assert lines[0].endswith("1 min 1 s; learning_rate=3e-05 batch_size=16 source.enabled=True")
    assert lines[2].endswith("TrialError: the loss is [nan]")
    assert "\x1b" not in output(console)


def test_the_best_so_far_is_marked_by_the_direction_of_the_metric() -> None:
    console = plain()
    with LiveView("sms", "loss", Direction.MIN, "", console, log_file="") as live:
        live.update(TRIALS[:2], USED)
    _, first, second = output(console).splitlines()
    assert "best so far" not in first
    assert "loss 0.5000 (best so far)" in second


def test_before_the_first_report() -> None:
    console = terminal()
    with view(console) as live:
        live.update([], USED)
    assert "none yet" in output(console)
    assert "unknown yet" in output(console)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.24, "0.2 s"), (9.99, "10.0 s"), (42, "42 s"), (59.7, "1 min 0 s"), (3599.9, "1 h 0 min"), (7805, "2 h 10 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_values_in_words() -> None:
    assert [format_number(value) for value in (None, 3e-05, 0.123456, 16, True, "adamw")] == [
        "-",
        "3e-05",
        "0.123",
        "16",
        "True",
        "adamw",
    ]
    assert format_settings({}) == "no settings vary"
    assert last_line("Traceback\n  File\nValueError: no\n\n") == "ValueError: no"
