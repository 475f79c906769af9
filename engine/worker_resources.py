"""What tasks ask of Dask workers by their tags."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: The tag by which a task asks for a worker resource.
RESOURCE_TAG = re.compile(r"^dask-resource:(?P<name>[^=]+)=(?P<amount>[0-9.]+)$")


def worker_resources(tags: Iterable[str]) -> dict[str, float]:
    """What a task asks of a worker by its tags.

    >>> worker_resources(["nightly", "dask-resource:GPU=1"])
    {'GPU': 1.0}
    """
    found = (RESOURCE_TAG.match(tag) for tag in tags)
    return {match["name"]: float(match["amount"]) for match in found if match}
