"""Cron text: what is wrong with it, and which wall times it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from prefect_dask.schedules.errors import MissingScheduleLibrary, WrongCron, WrongScheduleType

if TYPE_CHECKING:
    from cronsim import CronSim

#: Short forms, as in `man 5 crontab`.
SHORT_FORMS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

#: The fields of cron text, and what may stand in them.
FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31, L or LW"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT"),
)

#: Only its wall time counts.
SOME_WALL_TIME = datetime(2024, 1, 1)


def check_cron(text: str) -> None:
    """Pass over cron text that parses.

    Raises:
        WrongCron: It does not; the error says at which character. It is a ValueError.
        MissingScheduleLibrary: cronsim is not installed.
    """
    if not isinstance(text, str):
        raise WrongScheduleType("cron", f"text such as '0 9 * * MON-FRI' is wanted, got {text!r}")
    fields = [(found.start(), found.group()) for found in re.finditer(r"\S+", text)]
    if len(fields) == 1 and fields[0][1].startswith("@"):
        if fields[0][1].lower() not in SHORT_FORMS:
            names = ", ".join(SHORT_FORMS)
            raise WrongCron(text, fields[0][0], f"there is no {fields[0][1]!r}; there are {names}")
        return
    if len(fields) != len(FIELDS):
        position = fields[len(FIELDS)][0] if len(fields) > len(FIELDS) else len(text)
        wanted = ", ".join(name for name, _ in FIELDS)
        raise WrongCron(
            text, position, f"five fields are wanted ({wanted}), there are {len(fields)}"
        )
    for number, (start, field) in enumerate(fields):
        _check_field(text, number, start, field)
    if not _parses(text):
        raise WrongCron(
            text, fields[2][0], f"no month of {fields[3][1]!r} has a day {fields[2][1]!r}"
        )


def wall_times(text: str, after: datetime, *, day_or: bool) -> Iterator[datetime]:
    """The wall times that cron text names, in order; at most 50 years lie between two of them.

    Args:
        text: Cron text that parses.
        after: A datetime without zone; all are later than its full second.
        day_or: Where both days are told, whether one of them suffices.
    """
    simulation = _simulation(SHORT_FORMS.get(text.strip().lower(), text), after)
    if not day_or:
        simulation.day_and = True
    return simulation


def _check_field(text: str, number: int, start: int, field: str) -> None:
    name, range_of_it = FIELDS[number]
    position = start
    for part in field.split(","):
        if not _parses(" ".join(part if n == number else "*" for n in range(len(FIELDS)))):
            raise WrongCron(text, position, f"{part!r} is no {name}; it goes from {range_of_it}")
        position += len(part) + 1


def _parses(text: str) -> bool:
    from_cronsim = _cronsim_error()
    try:
        _simulation(text, SOME_WALL_TIME)
    except (from_cronsim, ValueError, AssertionError):
        return False
    return True


def _cronsim_error() -> type[Exception]:
    _need_cronsim()
    from cronsim import CronSimError

    return CronSimError


def _simulation(text: str, after: datetime) -> CronSim:
    _need_cronsim()
    from cronsim import CronSim

    return CronSim(text, after)


def _need_cronsim() -> None:
    try:
        import cronsim  # noqa: F401
    except ImportError as exc:
        raise MissingScheduleLibrary("CronClock", "cronsim") from exc
