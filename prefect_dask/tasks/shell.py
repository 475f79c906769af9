"""ShellTask: run a command, stream what it prints, and leave no process behind."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.engine.signals import FAIL
from prefect_dask.task import Task
from prefect_dask.tasks.needs import or_else, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST_LINES: Final = 20
"""How many of the last lines a failure tells."""


class CommandFailed(PrefectDaskError):
    """A command ended with another exit code than 0.

    Attributes:
        exit_code: Its exit code; negative: the signal that killed it.
        last_lines: The last lines that it printed.
    """

    def __init__(self, exit_code: int, last_lines: list[str]) -> None:
        printed = (
            "its last lines:\n" + "\n".join(last_lines) if last_lines else "it printed nothing"
        )
        super().__init__(f"Command failed with exit code {describe_exit(exit_code)}; {printed}")
        self.exit_code, self.last_lines = exit_code, last_lines


class ShellTask(Task):
    """Runs a command in a shell and returns the last line that it prints.

    The command has a process group of its own. When the task ends, in whatever way (a timeout and
    Ctrl-C included), so does all that the command has started in it; a program that is to go on
    has to leave the group, as `setsid` does. (With `isolation="process"` it shares the group of that
    process: all ends at a timeout, but not what was left in the background.) What goes to stderr
    counts as printed.

    Args:
        command: The command, or a whole script; also an input of `run`, which wins.
        env: Environment variables beside those of the process that runs the task.
        helper_script: Lines that run before the command, in the same shell.
        shell: The shell: "bash", "sh", "pwsh", "cmd", or another that takes a file.
        return_all: Whether to return all lines, as a list.
        log_stderr: Whether to log the last lines as an error when the command fails.
        stream_output: Whether each line is logged as it comes: True, or a level of `logging`.
        settings: As for `Task`.

    Raises:
        FAIL: The exit code is not 0; the state's result is a `CommandFailed`.
        MissingValue: There is no command.

    Example:
        >>> ShellTask(shell="sh").run(command="echo one; echo two")
        'two'
    """

    def __init__(
        self,
        command: str | None = None,
        env: Mapping[str, str] | None = None,
        helper_script: str | None = None,
        shell: str = "bash",
        return_all: bool = False,
        log_stderr: bool = False,
        stream_output: bool | int | str = False,
        **settings: Any,
    ) -> None:
        self.command = command
        self.env = dict(env or {})
        self.helper_script = helper_script
        self.shell = shell
        self.return_all = return_all
        self.log_stderr = log_stderr
        self.stream_level = level_of(stream_output)
        super().__init__(**settings)

    def run(
        self,
        command: str | None = None,
        env: Mapping[str, str] | None = None,
        helper_script: str | None = None,
    ) -> Any:
        from prefect_dask.tasks.process_group import ProcessGroup

        helper_script = or_else(helper_script, self.helper_script)
        script = "\n".join(filter(None, [helper_script, value_of(self, "command", command)]))
        lines: deque[str] = deque(maxlen=None if self.return_all else LAST_LINES)
        with (
            script_file(script, self.shell) as (path, descriptors),
            ProcessGroup(
                command_line(self.shell, path),
                env={**os.environ, **self.env, **(env or {})},
                # An isolated body is killed with its group, so the command stays in that.
                own_group=self.isolation != "process",
                pass_fds=descriptors,
            ) as group,
        ):
            for line in group.lines():
                lines.append(line)
                if self.stream_level is not None:
                    self.logger.log(self.stream_level, "%s", line)
            exit_code = group.wait()
        if exit_code:
            self._fail(exit_code, list(lines)[-LAST_LINES:])
        if self.return_all:
            return list(lines)
        return lines[-1] if lines else None

    def _fail(self, exit_code: int, last_lines: list[str]) -> None:
        error = CommandFailed(exit_code, last_lines)
        if self.log_stderr:
            self.logger.error("%s", error)
        raise FAIL(str(error), result=error) from error


def level_of(stream_output: bool | int | str) -> int | None:
    """The level at which lines are logged; None for not at all.

    Raises:
        ValueError: There is no such level.

    >>> level_of(True), level_of("debug"), level_of(False)
    (20, 10, None)
    """
    if isinstance(stream_output, bool):
        return logging.INFO if stream_output else None
    if isinstance(stream_output, int):
        return stream_output
    level = getattr(logging, stream_output.upper(), None)
    if not isinstance(level, int):
        raise ValueError(
            f"stream_output is True, False or a level such as 'INFO', got {stream_output!r}"
        )
    return level


def describe_exit(code: int) -> str:
    """An exit code in words.

    >>> describe_exit(3), describe_exit(-15)
    ('3', '-15 (killed by SIGTERM)')
    """
    if code >= 0:
        return str(code)
    with suppress(ValueError):
        return f"{code} (killed by {signal.Signals(-code).name})"
    return f"{code} (killed by a signal)"


#: What stands between a shell and its script, and how the script's name ends; for shells that mind.
OPTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "cmd": (("/d", "/c"), ".bat"),
    "powershell": (("-NoProfile", "-File"), ".ps1"),
    "pwsh": (("-NoProfile", "-File"), ".ps1"),
}


def command_line(shell: str, script: str) -> list[str]:
    """What starts a script in a shell.

    >>> command_line("bash", "a.sh"), command_line("pwsh", "a.ps1")
    (['bash', 'a.sh'], ['pwsh', '-NoProfile', '-File', 'a.ps1'])
    """
    options, _ = OPTIONS.get(Path(shell).stem.lower(), ((), ""))
    return [shell, *options, script]


@contextmanager
def script_file(script: str, shell: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A file that only its owner can read, with the script; gone at the end.

    Where a system can name an open file, this one has no other name: a process that is killed leaves
    nothing.

    Returns:
        Its path, and the descriptors that the shell needs for it.
    """
    import tempfile

    _, ending = OPTIONS.get(Path(shell).stem.lower(), ((), ".sh"))
    text = (script + "\n").encode()
    if os.path.exists("/dev/fd"):
        with tempfile.TemporaryFile(prefix="prefect-dask-") as file:
            file.write(text)
            file.seek(0)
            yield f"/dev/fd/{file.fileno()}", (file.fileno(),)
        return
    handle, path = tempfile.mkstemp(prefix="prefect-dask-", suffix=ending)
    try:
        with open(handle, "wb") as named:
            named.write(text.replace(b"\n", b"\r\n") if ending != ".sh" else text)
        yield path, ()
    finally:
        os.unlink(path)
