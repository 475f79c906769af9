"""The last records of Dask nodes that are finished and did not tell it: asked for where their values lie."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import distributed

from ..state import State
from ..stream import NodeId, StateChange, decode_batch, encode_batch
from .dask_places import UNDER_WAY, Holding

#: How long a finished future may be without its last record before that is fetched, seconds: many times the
#: 8 ms that last records wait for company, and short beside what a person waits.
RECORD_GRACE_SECONDS = 1.0


@dataclass(slots=True)
class _Missing:
    """What did not tell that it is finished: in which Dask node, since when, and what will tell."""

    holding: Holding
    since: float
    asked: distributed.Future[Any] | None = None


class Repairs:
    """The last records of one run that did not arrive.

    Args:
        client: Through which they are asked for.
    """

    def __init__(self, client: distributed.Client) -> None:
        self._client = client
        self._missing: dict[NodeId, _Missing] = {}

    def last_record(
        self, node: NodeId, holding: Holding, position: int, now: float
    ) -> StateChange | None:
        """What an execution came to that is finished; None while that is not known.

        It is waited for a little, then asked for; ask again for the answer.

        Args:
            node: The execution.
            holding: The Dask node that it is in.
            position: Where in the value of that.
            now: Seconds on any clock that does not go back.
        """
        missing = self._missing.get(node)
        if missing is None or missing.holding is not holding:
            missing = self._missing[node] = _Missing(holding, now)
        if now - missing.since < RECORD_GRACE_SECONDS:
            return None
        if missing.asked is None:
            missing.asked = self._client.submit(
                bare_state_of, holding.future, node, position, pure=False
            )
        elif missing.asked.status == "finished":
            (record,) = decode_batch(*missing.asked.result())
            assert isinstance(record, StateChange)
            return record
        elif missing.asked.status not in UNDER_WAY:
            missing.asked = None  # asked again at the next look
        return None

    def keep(self, nodes: Container[NodeId]) -> None:
        """Forget all but these."""
        if self._missing:
            self._missing = {node: each for node, each in self._missing.items() if node in nodes}


def bare_state_of(value: list[State], node: NodeId, position: int) -> tuple[bytes, str]:
    """On the worker that holds a node's value: its last record, for one that was lost on the way."""
    batch = encode_batch([StateChange(node, 1, value[position], True, "")])
    return batch, distributed.get_worker().address
