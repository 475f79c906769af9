"""A hello-world as a whole process: `python -m peers.hello SYSTEM PLACE`. Imports as little as it can."""

import importlib
import sys

from .shapes import greet


def main(system: str, place: str) -> None:
    """Start the system, run one task, stop."""
    with importlib.import_module(f".systems.{system}", __package__).started(place) as running:
        running.graph([[]], greet)()


if __name__ == "__main__":
    main(*sys.argv[1:])
