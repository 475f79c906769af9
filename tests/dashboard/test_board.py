"""What a scheduler knows of flow runs, and how that is told: pure, so that each case is a line."""

from dataclasses import replace
from html import escape
from typing import Any

import pytest

from prefect_dask.dashboard.board import KEPT_SECONDS, MOST_LIVE, MOST_OVER, Board, FlowRunReport
from prefect_dask.dashboard.page import SILENT_SECONDS, page

RUNNING = FlowRunReport(
    client="one",
    number=1,
    run_id="a" * 32,
    run_name="etl-aaaa",
    flow_name="etl",
    state="Running",
    message="Running flow.",
    is_over=False,
    states={"Success": 3, "Failed": 1},
    done=4,
    known=10,
    rate=2.5,
    failures=[("load[1]", "Failed", "no rows")],
    seconds=5.0,
)
OVER = replace(RUNNING, number=2, state="Success", message="All is well.", is_over=True)


@pytest.fixture
def board():
    return Board()


def named(count):
    return [replace(RUNNING, run_id=f"{number:032}") for number in range(count)]


def shown(board, at):
    return [(run.report.state, run.is_lost, run.over_seconds) for run in board.runs(at)]


def test_a_report_travels_as_a_message_and_one_of_another_version_is_refused():
    assert FlowRunReport.of_message({**RUNNING.as_message(), "more": 1}) == RUNNING
    with pytest.raises(KeyError):
        FlowRunReport.of_message({"run_id": "a"})


def test_the_last_report_of_a_run_counts_whatever_order_they_come_in(board):
    board.take(OVER, 10.0)
    board.take(RUNNING, 11.0)

    assert shown(board, 12.0) == [("Success", False, 2.0)]


def test_a_run_that_another_client_takes_up_again_goes_on(board):
    board.take(replace(RUNNING, number=7), 10.0)
    board.lose("one", 11.0)
    board.take(replace(RUNNING, client="two"), 12.0)
    board.lose("one", 13.0)

    assert shown(board, 14.0) == [("Running", False, None)]


def test_what_goes_on_grows_older_and_what_is_over_does_not(board):
    board.take(RUNNING, 10.0)
    assert [run.seconds for run in board.runs(13.0)] == [8.0]

    board.take(OVER, 14.0)
    assert [run.seconds for run in board.runs(99.0)] == [5.0]


def test_a_run_whose_client_left_is_lost_and_goes_away_after_some_minutes(board):
    board.take(RUNNING, 10.0)
    board.lose("another", 11.0)
    assert shown(board, 12.0) == [("Running", False, None)]

    board.lose("one", 12.0)
    assert shown(board, 13.0) == [("Running", True, 1.0)]
    assert "Disconnected" in page(board.runs(13.0))
    assert shown(board, 13.0 + KEPT_SECONDS) == []
    assert "No flow run is on this cluster now" in page(board.runs(13.0 + KEPT_SECONDS))


def test_live_runs_stand_first_and_those_that_ended_last_before_others(board):
    first, second, short, long = named(4)
    board.take(replace(first, is_over=True), 10.0)
    board.take(replace(second, is_over=True), 11.0)
    board.take(replace(short, seconds=1.0), 12.0)
    board.take(replace(long, seconds=2.0), 12.0)

    names = [int(run.report.run_id) for run in board.runs(20.0)]
    assert names == [3, 2, 1, 0]


def test_many_runs_do_not_fill_the_memory(board):
    for report in named(MOST_LIVE + 5):
        board.take(report, 1.0)
    assert len(board.runs(1.0)) == MOST_LIVE

    board.lose("one", 2.0)
    assert len(board.runs(2.0)) == MOST_OVER


def test_a_run_that_does_not_answer_is_said_to_be_silent(board):
    assert not board.ask(9.0)
    board.take(RUNNING, 10.0)
    assert board.ask(100.0)
    assert board.ask(101.0)

    late = 100.5 + SILENT_SECONDS
    assert "has not answered" not in page(board.runs(100.0))
    assert "has not answered for 5.5 s" in page(board.runs(late))

    board.take(replace(RUNNING, number=2), late)
    assert "has not answered" not in page(board.runs(late))


def test_the_page_tells_states_rate_and_failures_and_escapes_all_that_users_wrote(board):
    names = ("run_name", "flow_name", "run_id", "state")
    written: dict[str, Any] = {name: f"<{name}>&" for name in names}
    board.take(replace(RUNNING, **written, failures=[("<t>", "<s>", "<m>")]), 10.0)
    board.take(replace(OVER, message="<message>&"), 10.0)

    told = page(board.runs(10.0))

    for word in (*written.values(), "<t>", "<s>: <m>", "<message>&"):
        assert word not in told
        assert escape(word) in told
    for said in ("1 live, 1 that ended", "Success 3", "Failed 1", "to come 6", "2.5/s", "5.0 s"):
        assert said in told
    assert "width:30.000%" in told
