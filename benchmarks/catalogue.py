"""All questions, in the order of the table."""

from __future__ import annotations

from importlib import import_module

from benchmarks.core.options import Question

#: A file each. The last two are there to be looked at and held to no bar.
USUAL = (
    *("wide", "chain", "layered", "tree", "runtime_map", "real_work", "big_array", "mixed_map"),
    *("hand_over", "scheduler_memory", "coordinator_memory", "long_lived", "hello"),
    *("durability", "progress", "pictures", "animation"),
    *("nested", "loop"),
)

#: Minutes long, and asked only by name.
ON_REQUEST = ("million",)


def questions(names: str) -> dict[str, Question]:
    """The questions that begin as one of these names do, with commas between; all usual ones for "".

    Raises:
        ValueError: Nothing begins so.

    Example:
        >>> list(questions("chain,hello"))
        ['chain-threads', 'chain-cluster', 'hello']
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    every = _of(*USUAL, *ON_REQUEST)
    unknown = [name for name in wanted if not any(each.startswith(name) for each in every)]
    if unknown:
        raise ValueError(f"no question begins with {unknown[0]!r}; there are {', '.join(every)}")
    if not wanted:
        return _of(*USUAL)
    return {name: ask for name, ask in every.items() if name.startswith(tuple(wanted))}


def _of(*files: str) -> dict[str, Question]:
    return {
        name: ask
        for file in files
        for name, ask in import_module(f"benchmarks.{file}").QUESTIONS.items()
    }
