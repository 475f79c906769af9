"""The span of a flow run: what Dask's own plots choose and add up by."""

from __future__ import annotations

from typing import Any

import dask

from ..context import RunInfo


def span_of(info: RunInfo) -> dict[str, Any]:
    """The span that all Dask tasks of a run are in, as the annotation that `distributed.span` makes.

    Its name is that of the flow and the run's id, below the span in which the run was begun, where there is one.
    Its id is the run's: what is taken up again on the same cluster goes on in the same span.
    """
    outer = dask.get_annotations().get("span")
    names, ids = (outer["name"], outer["ids"]) if outer else ((), ())
    run_id = info.flow_run_id
    return {"name": (*names, info.flow_name, run_id), "ids": (*ids, f"{run_id}-flow", run_id)}
