"""What a template may name: the inputs of its task, then the facts of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prefect_dask.engine.context import context
from prefect_dask.engine.errors import PrefectDaskError, nearest

#: What is no business of a text: a secret goes in as an input, where one sees it.
HIDDEN = frozenset({"secrets", "config", "logger"})


class UnknownKey(PrefectDaskError, KeyError):
    """A template names what is neither an input nor a fact of the run."""

    def __init__(self, key: str, inputs: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        here = ", ".join(map(repr, inputs)) or "none"
        others = sorted(set(facts) - set(inputs))
        super().__init__(
            f"the template names {key!r}, which is not there; {nearest(key, [*inputs, *others])} "
            f"(inputs: {here}; of the run: {', '.join(map(repr, others)) or 'none'})"
        )
        self.key = key

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows its repr


class Facts(Mapping[str, Any]):
    """The inputs, and below them what the context knows, made when a template asks for it.

    >>> Facts({"x": 1})["x"]
    1
    """

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs

    def __getitem__(self, key: str) -> Any:
        if key in self.inputs:
            return self.inputs[key]
        if key in HIDDEN or key not in context:
            raise UnknownKey(key, self.inputs, self)
        return context[key]

    def __iter__(self) -> Iterator[str]:
        yield from self.inputs
        yield from (key for key in context if key not in self.inputs and key not in HIDDEN)

    def __len__(self) -> int:
        return sum(1 for _ in self)
