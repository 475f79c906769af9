"""The small tasks of which the flows here are made."""

import time

from prefect_dask import task
from prefect_dask.engine import signals


class Broken(Exception):
    """What a task of these flows fails with."""


@task
def give(value=None):
    return value


@task
def add(x, y=1):
    return x + y


@task
def total(numbers):
    return sum(numbers)


@task
def look(x=None):
    """What came in, as text; an exception with its type."""
    return f"{type(x).__name__}: {x}" if isinstance(x, BaseException) else repr(x)


@task
def fail(text="broken"):
    raise Broken(text)


@task
def skip():
    raise signals.SKIP("not today")


@task
def pause():
    raise signals.PAUSE("asks somebody")


@task
def take_long(seconds=30.0):
    # In small sleeps, so that a late body can be ended.
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
