"""What a run is at, in lines."""

import pytest

from prefect_dask.progress.counting import Failure, TaskProgress
from prefect_dask.progress.lines import MOST_FAILURES, Report, screen
from prefect_dask.progress.watch import FlowProgress


def mapped(done, width, *, failed=0, rate=None, index=0, name="census", ended=None):
    states = {"Success": done - failed, **({"Failed": failed} if failed else {}), "Running": 2}
    return TaskProgress(index, name, True, width, states, done, 0.0, ended, rate)


def single(state, *, index=0, name="load"):
    states = {state: 1} if state else {}
    done = int(state == "Success")
    begun = 0.0 if state else None
    return TaskProgress(index, name, False, 1, states, done, begun, 1.0 if done else None, None)


def progress(*tasks, count=None, failures=(), run_id="a"):
    states = {}
    for each in tasks:
        for state, number in each.states.items():
            states[state] = states.get(state, 0) + number
    done = sum(each.done for each in tasks)
    known = sum(each.width or 0 for each in tasks)
    return FlowProgress(
        *("etl", run_id, "etl-a", "Running", None, states, done, known, tasks),
        *(count or len(tasks), failures, 12.0, 12.0),
    )


def drawn(now, width, **settings):
    return ["".join(piece.text for piece in line) for line in screen(now, width, **settings)]


def test_a_map_is_a_line_with_a_bar_counts_rate_and_time_left():
    [line, whole] = drawn(progress(mapped(2_500, 10_000, failed=12, rate=812.0)), 120)
    assert line == (
        "census  ━━━━━━━───────────────────────  2,500/10,000  Success 2,488  Failed 12  Running 2  "
        "812/s  9.2 s left"
    ).replace("  2,500", " 2,500")
    assert whole == "etl  Running  2,500/10,000 task runs  12 failed  12 s"


@pytest.mark.parametrize(
    ("done", "failed", "parts"),
    [
        (0, 0, []),
        (5_000, 0, [(15, "Success")]),
        (5_000, 1, [(14, "Success"), (1, "Failed")]),
        (5_000, 2_000, [(9, "Success"), (6, "Failed")]),
        (5_000, 5_000, [(15, "Failed")]),
        (10, 10, []),  # too few to be seen in a bar
    ],
)
def test_a_bar_is_as_red_as_much_failed_and_one_failure_is_seen(done, failed, parts):
    [line, _] = screen(progress(mapped(done, 10_000, failed=failed)), 120)
    assert [(len(p.text), p.state) for p in line if set(p.text) == {"━"}] == parts


@pytest.mark.parametrize("width", range(10, 130, 7))
def test_no_line_is_longer_than_the_terminal_and_failures_go_last(width):
    now = progress(
        mapped(2_500, 10_000, failed=12, rate=812.0, name="a task with quite a long name"),
        single("Running", index=1),
        single("", index=2),
        count=90,
    )
    lines = drawn(now, width)
    assert max(map(len, lines)) <= width
    if width >= 50:
        assert "Failed 12" in lines[0]


def test_a_terminal_without_such_characters_gets_others():
    text = "".join(drawn(progress(mapped(5, 10), single("", index=1)), 100, is_ascii=True))
    assert text.isascii()


def test_tasks_for_which_there_is_no_room_are_counted():
    assert drawn(progress(single("Success"), count=400), 100)[-2] == "and 399 more tasks"


def test_a_log_is_told_each_tenth_once():
    report = Report()
    told = [report.lines(progress(mapped(done, 1_000, rate=100.0))) for done in range(0, 1_001, 10)]
    lines = [line for lines in told for line in lines]
    assert len(lines) == 10
    assert lines[0] == "census: 100/1,000, Success 100, Running 2, 100/s, 9.0 s left"
    assert report.lines(progress(mapped(1_000, 1_000))) == []


def test_a_log_is_told_of_a_task_when_it_is_over():
    report = Report()
    assert report.lines(progress(single("Running"))) == []
    assert report.lines(progress(single("Success"))) == ["load: Success"]
    assert report.lines(progress(single("Success"))) == []
    assert report.lines(progress(single("Success"), run_id="the next run")) == ["load: Success"]


def test_of_a_large_flow_a_log_is_told_how_many_task_runs_are_over():
    [line] = Report().lines(progress(single("Success"), mapped(10, 20, index=1), count=5_000))
    assert line == "11/21 task runs: Success 11, Running 2"


def test_many_failures_at_once_are_told_in_part():
    failures = tuple(Failure(f"load[{n}]", "Failed", "no\nmore") for n in range(100))
    lines = Report().lines(progress(single(""), failures=failures))
    assert len(lines) == MOST_FAILURES + 1
    assert (lines[0], lines[-1]) == ("load[0] Failed: no", "and 80 more failed")
