"""The tables of the ledger, described once: what each holds, its columns, its key.

`migrations/` says how a database comes to have them; a test holds the two together, for both databases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["integer", "real", "text", "bytes"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what it holds, and whether it may hold nothing."""

    name: str
    kind: Kind
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `holds` is a sentence for people."""

    name: str
    holds: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


def _columns(text: str) -> tuple[Column, ...]:
    """Columns as `name kind` or `name kind?`, with commas.

    >>> _columns("id integer, ended real?")[1]
    Column(name='ended', kind='real', is_optional=True)
    """
    found = []
    for entry in text.split(","):
        name, kind = entry.split()
        found.append(Column(name, kind.rstrip("?"), kind.endswith("?")))  # type: ignore[arg-type]  # names of kinds
    return tuple(found)


#: Times are seconds since the epoch. `run` is the integer key of a flow run, `task` the task's place in the flow's
#: graph (-1: the flow itself), `number` the order in which the coordinating process came to know things of a run.
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "flows",
            "a flow as it was when it ran: its graph as JSON, and what tells its code from other code",
            ("id",),
            _columns("id integer, digest text, name text, code text, graph text, first_seen real"),
        ),
        Table(
            "flow_runs",
            "a flow run and its state; `run_id` is the id that users see, `process` tells whether its process is"
            " there, `origin` is the file with the flow, `pickled` has the parameters",
            ("id",),
            _columns(
                "id integer, run_id text, flow integer, name text, parameters text, scheduled real, begun real,"
                "ended real?, state text, message text?, state_number integer, coordinator text, version text,"
                "process text, origin text?, pickled bytes?, fence integer, lease_until real?, durable text?"
            ),
        ),
        Table(
            "states",
            "each change of state of flow run and task runs; `began`: Running came before, and when",
            ("run", "number"),
            _columns(
                "run integer, number integer, task integer, map_index integer, attempt integer, state text,"
                "message text?, at real, worker text, began real?, details text?"
            ),
        ),
        Table(
            "packed_states",
            "so many changes of state that no rows were made of yet, from this number on",
            ("run", "number"),
            _columns("run integer, number integer, count integer, data bytes"),
        ),
        Table(
            "results",
            "the pickle of a small result, or where a large one lies; `number` is that of its change of state",
            ("run", "number"),
            _columns(
                "run integer, number integer, task integer, map_index integer, location text?, value bytes?,"
                "size_bytes integer?"
            ),
        ),
        Table(
            "log_lines",
            "the lines that the run and its tasks logged",
            ("run", "number"),
            _columns(
                "run integer, number integer, task integer, map_index integer, level integer, logger text,"
                "message text, exception text?, at real, worker text"
            ),
        ),
        Table(
            "cluster_events",
            "workers that joined, left or died while the run was on their cluster",
            ("run", "number"),
            _columns("run integer, number integer, kind text, worker text, at real, details text?"),
        ),
        Table(
            "artifacts",
            "what tasks made for people to look at, or where it lies",
            ("run", "number"),
            _columns(
                "run integer, number integer, task integer, map_index integer, kind text, name text, at real,"
                "data bytes?, location text?"
            ),
        ),
        Table(
            "requests",
            "what is asked of a run that is going on: by whom, when it was taken, and what became of it",
            ("id",),
            _columns(
                "id integer, run integer, kind text, details text, asked real, asker text, taken real?,"
                "done real?, answer text?"
            ),
        ),
        Table(
            "limits",
            "how many task runs with a tag or of a name may be at work at a time, over all runs of this ledger",
            ("name",),
            _columns("name text, slots integer, since real"),
        ),
        Table(
            "slots",
            "an execution of a task run that holds a slot under a limit, until then; `fence` and `generation` tell"
            " it from any other",
            ("limit_name", "run", "fence", "task", "map_index", "generation"),
            _columns(
                "limit_name text, run integer, fence integer, task integer, map_index integer,"
                "generation integer, attempt integer, since real, until real"
            ),
        ),
        Table(
            "slot_waits",
            "how many task runs of a run wait for a slot, since when nothing came, and when they last asked",
            ("limit_name", "run", "fence"),
            _columns(
                "limit_name text, run integer, fence integer, waiting integer, since real, asked real"
            ),
        ),
    )
}

#: What can be asked like a table: the latest state of each task run.
VIEWS = ("task_runs",)
