"""Names for tasks that are made from values."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 12
_SHORT.maxstring = _SHORT.maxother = 60
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def name_of_value(value: Any) -> str:
    """The repr of a value, cut short and without addresses: the same in each build of a flow.

    >>> name_of_value([1, 2])
    '[1, 2]'
    >>> name_of_value(object())
    '<object object>'
    """
    return _ADDRESS.sub("", _SHORT.repr(value))
