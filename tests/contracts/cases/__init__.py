"""Small flows by subject, and the states that each must come to on every executor."""

from tests.contracts.cases import (
    branches,
    context,
    flows,
    given_states,
    handlers,
    inputs,
    names,
    retries,
    secrets,
    shapes,
    signals,
    timeouts,
    triggers,
)
from tests.contracts.flow_case import CASES

__all__ = [
    "CASES",
    "branches",
    "context",
    "flows",
    "given_states",
    "handlers",
    "inputs",
    "names",
    "retries",
    "secrets",
    "shapes",
    "signals",
    "timeouts",
    "triggers",
]
