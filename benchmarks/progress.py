"""What does it cost a run that it is shown how far it is? 50,000 changes of state, drawn and not drawn.

The tasks do nothing and run in this thread, where drawing takes its time from them: nowhere is it a larger share.
Both are recorded, as runs are.
"""

from __future__ import annotations

import gc
import io
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import WrongRun, alternate, per_task
from benchmarks.core.shapes import as_flow, wide
from benchmarks.durability import mapped
from prefect_dask import Flow
from prefect_dask.executors import LocalExecutor
from prefect_dask.ledger.writer import close_writers
from prefect_dask.progress.drawing import Drawn

#: What being shown may add to a run.
BAR = Bar(1.02)


class _Terminal(io.StringIO):
    """Takes what is drawn, as a terminal would."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class _Pipe(io.StringIO):
    """Takes the lines that a file would."""


def drawn(work: str, flow: Flow, count: int, stream: type[io.StringIO], options: Options) -> Row:
    """A row: µs of processor a task drawn, beside those not drawn where others have raw Dask's.

    The processor's and not the wall's: 2 % of a quarter of a second is less than what a machine that others use
    too takes away at any moment, and one interpreter lock holds all that is compared here.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.callback(close_writers)
        ledger = str(Path(folder) / "ledger.sqlite")

        def seconds(*, is_drawn: bool) -> float:
            to = stream()
            gc.collect()
            begun = time.process_time()
            with Drawn(to).drawing() if is_drawn else nullcontext(False) as progress:
                state = flow.run(executor=LocalExecutor(), ledger=ledger, progress=progress)
            taken = time.process_time() - begun
            if not state.is_successful() or (is_drawn and "Success" not in to.getvalue()):
                raise WrongRun(f"flow {flow.name!r}: {state}")
            return taken

        both = alternate(
            options, lambda: seconds(is_drawn=True), lambda: seconds(is_drawn=False), _nothing
        )
    return per_task(work, count, both, BAR, beside="the same not drawn", of="processor time")


def _nothing() -> None:
    pass


def terminal(options: Options) -> list[Row]:
    """On a terminal: a map, and as many tasks apart."""
    count = options.size(25_000)
    return [
        drawn("drawn on a terminal, map", mapped(count), count, _Terminal, options),
        drawn("drawn on a terminal, wide", as_flow(wide(count)), count, _Terminal, options),
    ]


def piped(options: Options) -> list[Row]:
    """Into a pipe: a map."""
    count = options.size(25_000)
    return [drawn("drawn in lines, map", mapped(count), count, _Pipe, options)]


QUESTIONS: Questions = {"progress-terminal": terminal, "progress-lines": piped}
