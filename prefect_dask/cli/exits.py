"""With what exit code the command line ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from prefect_dask.engine.state import Cancelled, State, Success

SUCCESS, FAILED, USAGE, CANCELLED, PAUSED = 0, 1, 2, 3, 4

#: As shells say it of a program that Ctrl-C ended: 128 + SIGINT; and whose reader went away: 128 + SIGPIPE.
INTERRUPTED, READER_GONE = 130, 141


def code_of(state: State) -> int:
    """The exit code that tells what a flow run came to.

    >>> from prefect_dask.engine.state import Failed, Paused
    >>> code_of(Success()), code_of(Failed()), code_of(Cancelled()), code_of(Paused())
    (0, 1, 3, 4)
    """
    if isinstance(state, Success):
        return SUCCESS
    if isinstance(state, Cancelled):
        return CANCELLED
    # What waits for a time or for somebody's word is no failure, and can be taken up again.
    return FAILED if state.is_finished() else PAUSED


class Refused(click.ClickException):
    """What was asked cannot be done; nothing has run."""

    exit_code = USAGE


def confirm(question: str, *, otherwise: str) -> None:
    """Ask on standard error whether to go on.

    Args:
        question: What will happen; "Go on?" follows.
        otherwise: What is told where the answer is no, or nobody answers.

    Raises:
        Refused: It is not to go on.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        if click.confirm(f"{question} Go on?", err=True):
            return
    except click.Abort as abort:
        click.echo(err=True)
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
    raise Refused(otherwise)


@contextmanager
def exit_quietly(ctx: click.Context) -> Iterator[None]:
    """A block that ends without a traceback where Ctrl-C, or a reader that goes away, ends it."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        ctx.exit(INTERRUPTED)
    except BrokenPipeError:
        print_nothing_more()
        ctx.exit(READER_GONE)


def print_nothing_more() -> None:
    """Have what is still to be printed go nowhere: who read standard output has gone, as `head` does."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
