"""The clock that tests turn."""

import threading
from datetime import datetime, timedelta, timezone

import pytest

from prefect_dask.engine import clock

NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def test_a_turned_clock_goes_on_at_once_to_what_is_waited_for():
    with clock.turned(NOON):
        clock.wait_until(clock.to_seconds(NOON + HOUR))
        assert clock.utc_now() == NOON + HOUR
        clock.wait_until(clock.to_seconds(NOON))
        assert clock.utc_now() == NOON + HOUR, "it never goes back by itself"


def test_a_held_clock_lets_go_who_waits_when_it_is_turned():
    gone_on: list[datetime] = []

    def wait(hours: int) -> None:
        clock.wait_until(clock.to_seconds(NOON + hours * HOUR))
        gone_on.append(clock.utc_now())

    with clock.turned(NOON, is_held=True) as hands:
        late = threading.Thread(target=wait, args=(5,))
        late.start()
        assert hands.next_waited_for() == NOON + 5 * HOUR
        hands.turn_by(HOUR)
        assert clock.utc_now() == NOON + HOUR
        assert not gone_on
        hands.turn_to(NOON + 5 * HOUR)
        late.join(timeout=10)
    assert gone_on == [NOON + 5 * HOUR]


def test_waiting_for_one_who_waits_has_a_deadline():
    with (
        clock.turned(NOON, is_held=True) as hands,
        pytest.raises(TimeoutError, match="nobody waited"),
    ):
        hands.next_waited_for(timeout_seconds=0.01)


def test_after_a_turn_the_clock_shows_the_time_it_showed_before():
    with clock.turned(NOON):
        with clock.turned(NOON + HOUR):
            pass
        assert clock.utc_now() == NOON
    assert not clock.is_turned()
    assert clock.utc_now() > NOON
