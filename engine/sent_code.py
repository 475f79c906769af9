"""Pickles of functions, which keep in which file these were written.

cloudpickle leaves that out of what it sends by value: the functions of a script, a notebook or another function. A
traceback made where they run would say `File "<dynamic-code>"` then, and could show no line of them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from types import CodeType
from typing import Any


def dumps(value: object) -> bytes:
    """What `cloudpickle.dumps` returns, for a value with functions in it that are to be run elsewhere."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, thing: Any) -> Any:
            if type(thing) is not CodeType:
                return super().reducer_override(thing)
            make, arguments, *_ = self.dispatch_table[CodeType](thing)
            return _code_of, (thing.co_filename, make, arguments)

    file = io.BytesIO()
    Pickler(file).dump(value)
    return file.getvalue()


def _code_of(file: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=file)
