"""Which process coordinates a run, told such that another one can see whether it is still there."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """A text that names this process and no other, ever; "" where the system does not tell enough."""
    return _name_of(os.getpid())


def name_of_holder(monotonic: float) -> str:
    """The name of this process, and until when something is its own without a word, on the clock of this boot.

    Args:
        monotonic: As from `clock.monotonic`; processes of one boot share it, and nobody sets it.
    """
    name = this_process()
    # Rounded up: nobody may take it for free while its holder knows that it is not.
    return f"{name}~{math.ceil(monotonic * 10) / 10:.1f}" if name else ""


def held_here_until(holder: str) -> float | None:
    """Until when something is another process's, on this machine's clock that nobody sets.

    Returns:
        None where that process is, or may be, on another machine.

    >>> held_here_until(name_of_holder(12.5)), held_here_until("elsewhere/1@2~12.5")
    (12.5, None)
    """
    name, _, until = holder.partition("~")
    machine = name.rpartition("/")[0]
    return float(until) if until and machine and machine == _machine() else None


def is_gone(process: str) -> bool:
    """Whether a process that `this_process` named is surely not there any more.

    Only who sees the same processes can tell: not another machine, nor a container beside it.

    >>> is_gone(this_process()), is_gone("")
    (False, False)
    """
    machine, _, rest = process.partition("~")[0].rpartition("/")
    pid, _, began = rest.partition("@")
    if not machine or not began or machine != _machine():
        return False
    begins = _began(int(pid))
    return begins is not None and begins != began


@cache
def _name_of(pid: int) -> str:
    machine = _machine()
    began = _began(pid) if machine else ""
    return f"{machine}/{pid}@{began}" if machine and began else ""


@cache
def _machine() -> str:
    """This boot of this machine, and which of its processes are seen from here."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""  # another system than Linux: there the lease alone tells


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the boot; "" where it is not there, or is dead and not buried.

    None where that cannot be seen: no file can be opened just now, or the system shows nobody what others run.
    """
    try:
        # What follows the name, which may hold anything, from the third field on.
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if _has_number(pid) else ""
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]


def _has_number(pid: int) -> bool:
    """Whether some process has a number; also one that is not shown here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is another user's
    return True
