"""From what a clock on the wall shows to the moment that it is, and back.

One rule for every schedule: a local time happens once. Where the clocks are put forward, what they skip happens
in the moment in which they are put forward; where they are put back, what they show twice happens the first time.
So wall times in order are moments in order.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

UTC = timezone.utc


def to_utc(moment: datetime) -> datetime:
    """A moment as a plain aware UTC datetime; one without a time zone is taken as UTC.

    >>> to_utc(datetime(2024, 7, 1, 12)).isoformat()
    '2024-07-01T12:00:00+00:00'
    """
    if moment.tzinfo is UTC and type(moment) is datetime:
        return moment
    offset = moment.utcoffset() or timedelta(0)
    return _plain(moment).replace(tzinfo=UTC) - offset


def zone_of(moment: datetime | None) -> tzinfo:
    """The time zone of a moment: UTC where it has none."""
    zone = None if moment is None else moment.tzinfo
    if zone is None:
        return UTC
    # pytz gives a moment the offset of that day, not the zone; its name tells the zone.
    name = getattr(zone, "zone", None)
    if not isinstance(name, str):
        return zone
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def name_of_zone(zone: tzinfo) -> str:
    """What a time zone is called.

    >>> name_of_zone(UTC)
    'UTC'
    """
    return str(zone)


def wall_of(moment: datetime, zone: tzinfo) -> datetime:
    """What the clocks of a zone show at a moment, as a datetime without zone."""
    return _plain(moment.astimezone(zone))


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """The moment, in UTC, at which the clocks of a zone show a time, or skip it.

    Args:
        wall: A datetime without zone.
        zone: Where the clock hangs.

    Source:
        PEP 495: with fold=0 a skipped time has the offset of before the change, with fold=1 that of after it.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> berlin = ZoneInfo("Europe/Berlin")
        >>> moment_of(datetime(2024, 3, 31, 2, 30), berlin).isoformat()  # skipped: 2:00 became 3:00
        '2024-03-31T01:00:00+00:00'
        >>> moment_of(datetime(2024, 10, 27, 2, 30), berlin).isoformat()  # twice: the first
        '2024-10-27T00:30:00+00:00'
    """
    late = to_utc(wall.replace(tzinfo=zone, fold=0))
    if wall_of(late, zone) == wall:
        return late
    early = to_utc(wall.replace(tzinfo=zone, fold=1))
    return _change_between(early, late, zone) if early < late else late


def _change_between(early: datetime, late: datetime, zone: tzinfo) -> datetime:
    """The first full second of the offset that holds at `late` and not yet at `early`."""
    changed = late.astimezone(zone).utcoffset()
    start = early.replace(microsecond=0)
    before, after = 0, int((late - start).total_seconds()) + 1
    while after - before > 1:
        middle = (before + after) // 2
        moment = start + timedelta(seconds=middle)
        if moment.astimezone(zone).utcoffset() == changed:
            after = middle
        else:
            before = middle
    return start + timedelta(seconds=after)


def _plain(moment: datetime) -> datetime:
    """The time without its zone."""
    if type(moment) is datetime:
        return moment.replace(tzinfo=None, fold=0)
    # A subclass may have its own idea of arithmetic.
    return datetime(
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond,
    )
