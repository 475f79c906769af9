"""Ray: remote functions that take the references above as arguments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import ray

from ..shapes import Body, Shape, noop


def numbers(count: int) -> list[int]:
    return list(range(count))


class Ray:
    def graph(self, shape: Shape, root: Body):
        return partial(self.run, shape, ray.remote(root), ray.remote(noop))

    def mapped(self, count: int):
        listing, child = ray.remote(numbers), ray.remote(noop)
        return lambda: ray.get([child.remote(n) for n in ray.get(listing.remote(count))])

    def run(self, shape: Shape, first, other) -> None:
        made: list = []
        for above in shape:
            waits = [made[index] for index in above]
            made.append(other.remote(*waits) if above else first.remote())
        ray.get(made)


@contextmanager
def started(place: str) -> Iterator[Ray]:
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=tempfile.gettempdir(),
    )
    try:
        yield Ray()
    finally:
        ray.shutdown()
