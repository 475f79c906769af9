"""What results are shown as: a short text, made without running anybody's code."""

from __future__ import annotations

import io
import pickle
import reprlib
from typing import Any, Final

from prefect_dask.engine.secrets import masked

#: How long a text may be.
LENGTH: Final = 80

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlevel = 3


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts and collections of them; a pickle may call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain")


def plain_value(data: bytes) -> tuple[bool, Any]:
    """Whether a pickle is of plain values alone, and its value.

    >>> plain_value(pickle.dumps([1, "two"]))
    (True, [1, 'two'])
    >>> plain_value(pickle.dumps(Exception("no")))
    (False, None)
    """
    try:
        return True, _PlainUnpickler(io.BytesIO(data)).load()
    except Exception:  # what stands in a pickle decides what is raised
        return False, None


def short_text(value: object) -> str:
    """A plain value as a short text, without secrets.

    >>> short_text(list(range(100)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    text = masked(_short.repr(value))
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"
