"""Where a flow was made."""

from __future__ import annotations

import os
import sys


def file_of_caller() -> str | None:
    """The file of the code that called into this package; None where it is in none, as in a notebook."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        if frame.f_back is None:
            return None
        frame = frame.f_back
    file = frame.f_code.co_filename
    return os.path.abspath(file) if os.path.isfile(file) else None
