"""What does it cost a run that it is shown how far it is? 50,000 changes of state, drawn and not drawn.

The tasks do nothing and run in this thread, where drawing takes its time from them: nowhere is it a larger share.
Both are recorded, as runs are.
"""

from __future__ import annotations

import gc
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from benchmarks.core.options import Options, Questions
from benchmarks.core.rows import Bar, Row
from benchmarks.core.running import WrongRun, alternate, per_task
from benchmarks.core.shapes import as_flow, wide
from benchmarks.durability import mapped
from prefect_dask import Flow
from prefect_dask.engine.context import RunInfo
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.stream import StateChange
from prefect_dask.executors import LocalExecutor
from prefect_dask.ledger.writer import close_writers
from prefect_dask.progress.drawing import Drawn

#: What being shown may add to a run.
BAR = Bar(1.02)


#: The same as a share of the run's processor time.
SHARE = Bar(0.02)


class _Terminal(io.StringIO):
    """Takes what is drawn, as a terminal would."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class _Pipe(io.StringIO):
    """Takes the lines that a file would."""


class _Weighed(Drawn):
    """Notes the processor's time of whatever follows the run, in any thread."""

    def __init__(self, stream: io.StringIO) -> None:
        super().__init__(stream)
        self.seconds = 0.0

    @contextmanager
    def weighing(self) -> Iterator[None]:
        begun = time.thread_time()
        yield
        self.seconds += time.thread_time() - begun

    def begin(self, info: RunInfo, graph: FlowGraph) -> None:
        with self.weighing():
            super().begin(info, graph)

    def take_changes(self, changes: Sequence[StateChange]) -> None:
        with self.weighing():
            super().take_changes(changes)

    def _run(self) -> None:  # of the thread that draws
        with self.weighing():
            super()._run()

    @contextmanager
    def drawing(self) -> Iterator[Drawn]:
        with ExitStack() as stack:
            with self.weighing():
                stack.enter_context(super().drawing())
            yield self
            with self.weighing():
                stack.close()


def weighed(work: str, flow: Flow, count: int, stream: type[io.StringIO], options: Options) -> Row:
    """A row: µs of processor a task in what follows the run, beside those of the whole.

    What the machine does for others at the time adds to both alike: this tells 0.1 % from 0.2 % where the
    difference of two runs tells nothing below 5 %. It does not see what drawing costs the others by the way, in
    caches and switches of threads.
    """
    following: list[float] = []
    whole: list[float] = []
    for _ in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            stack.callback(close_writers)
            watch = _Weighed(stream())
            gc.collect()
            begun = time.process_time()
            with watch.drawing():
                state = flow.run(
                    executor=LocalExecutor(),
                    ledger=str(Path(folder) / "ledger.sqlite"),
                    progress=watch,
                )
            whole.append(time.process_time() - begun)
            following.append(watch.seconds)
            if not state.is_successful():
                raise WrongRun(f"flow {flow.name!r}: {state}")
    # The first one imports rich.
    return per_task(work, count, (following[1:], whole[1:]), SHARE, of="processor time")


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
        weighed("following on a terminal, map", mapped(count), count, _Terminal, options),
        weighed("following on a terminal, wide", as_flow(wide(count)), count, _Terminal, options),
    ]


def piped(options: Options) -> list[Row]:
    """Into a pipe: a map."""
    count = options.size(25_000)
    return [
        drawn("drawn in lines, map", mapped(count), count, _Pipe, options),
        weighed("following in lines, map", mapped(count), count, _Pipe, options),
    ]


QUESTIONS: Questions = {"progress-terminal": terminal, "progress-lines": piped}
