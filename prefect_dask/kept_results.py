"""Where the results of a recorded run are kept, and reading them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

from prefect_dask.engine.durable import read_stored, results_folder
from prefect_dask.engine.finish_log import Finish, read_finishes
from prefect_dask.engine.graph import FlowGraph
from prefect_dask.engine.keeping import Keeper
from prefect_dask.engine.result import Result, ResultRules, StoreFailed
from prefect_dask.engine.state import LazyResult, State, Success
from prefect_dask.ledger.facts import RecordedResult
from prefect_dask.ledger.packed import stored_columns


def kept_results(
    graph: FlowGraph | None, rules: ResultRules, results: Iterable[RecordedResult]
) -> dict[int, LazyResult]:
    """The results that are kept, and are there, by the number of their state.

    Args:
        graph: The flow; without it nobody knows what tasks themselves say of where results are written.
        rules: Where results are written.
        results: What the ledger says.
    """
    found: dict[int, LazyResult] = {}
    places: dict[int, Result | None] = {}
    for result in results:
        if result.value is not None:
            found[result.number] = _Inline(bytes(result.value))
        elif result.location is not None:
            if result.task not in places and graph is not None:
                keeper = Keeper.of(graph.nodes[result.task].task, rules)
                writes = keeper is not None and keeper.must_write
                places[result.task] = keeper.result if keeper is not None and writes else None
            lazy = _at(result, places.get(result.task), rules)
            if lazy is not None:
                found[result.number] = lazy
    return found


def noted_finishes(
    graph: FlowGraph, rules: ResultRules, run_id: str
) -> list[tuple[Finish, LazyResult | None]]:
    """The ends that task runs noted where they ran, and their results as far as they are there."""
    folder = results_folder(rules)
    if folder is None:
        return []
    index_of = {node.label.slug: node.label.index for node in graph.nodes}
    finishes = [each for each in read_finishes(folder / run_id) if each.slug in index_of]
    results = [
        RecordedResult(number, index_of[each.slug], each.map_index, *stored_columns(each.stored))
        for number, each in enumerate(finishes)
        if each.stored is not None
    ]
    kept = kept_results(graph, rules, results)
    return [(each, kept.get(number)) for number, each in enumerate(finishes)]


def _at(result: RecordedResult, place: Result | None, rules: ResultRules) -> LazyResult | None:
    location = result.location or ""
    if place is not None:
        try:
            if place.exists(location):
                return _Written(place, location)
        except StoreFailed:
            return None
    # What was set by hand lies here, whatever the task says of its results.
    folder = results_folder(rules)
    if folder is None or not (folder / location).is_file():
        return None
    return _InFile(folder, location)


class _Inline(LazyResult):
    """A result that was kept with its state."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def fetch_state(self) -> State:
        return Success(result=pickle.loads(self.data))


class _InFile(LazyResult):
    """A result in a file of its own."""

    __slots__ = ("folder", "location")

    def __init__(self, folder: Path, location: str) -> None:
        self.folder, self.location = folder, location

    def fetch_state(self) -> State:
        return Success(result=read_stored(self.folder, self.location))


class _Written(LazyResult):
    """A result where its task says that results are written."""

    __slots__ = ("location", "place")

    def __init__(self, place: Result, location: str) -> None:
        self.place, self.location = place, location

    def fetch_state(self) -> State:
        return Success(result=self.place.read(self.location).value)
