"""A notebook's kernel as a front end has it: it runs cells, is interrupted, and its widgets are followed."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import KernelManager

DEADLINE_SECONDS = 20.0

#: Folders of Jupyter and IPython that are not the user's.
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")


def variables(folder: Path) -> dict[str, str]:
    """An environment in which Jupyter, IPython and prefect_dask keep what they write below a folder."""
    own = {name: str(folder / name.lower()) for name in FOLDERS}
    own["PREFECT_HOME"] = str(folder / "home")
    own["JUPYTER_PLATFORM_DIRS"] = "1"  # without it, older ones warn
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "JUPYTER"))}
    return {**inherited, **own}


@dataclass
class Cell:
    """A cell that was run, or runs.

    Attributes:
        request: The id of the request to run it.
        outputs: What it displayed, in order; those that changed, as they were last.
        text: What was printed and logged.
        error: The name and value of what it raised; "" when it did not.
        is_over: Whether the kernel is done with it.
    """

    request: str
    outputs: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    error: str = ""
    is_over: bool = False

    @property
    def html(self) -> str:
        """All HTML that it shows now."""
        return "\n".join(each["data"].get("text/html", "") for each in self.outputs)


class Kernel:
    """A kernel, and the front end's part: cells by request, outputs by display id, widgets by id."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=DEADLINE_SECONDS)
        self.cells: dict[str, Cell] = {}
        #: The state of each widget that is there now.
        self.widgets: dict[str, dict[str, Any]] = {}
        #: What the HTML widgets showed, with the time when that came.
        self.shown: list[tuple[float, str]] = []
        #: How often each output that has an id was sent.
        self.sent: dict[str, int] = {}

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    # ---- cells

    def start(self, code: str, **metadata: str) -> Cell:
        """Begin to run a cell, and return at once."""
        message = self.client.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
            metadata=metadata,
        )
        self.client.shell_channel.send(message)
        request = message["header"]["msg_id"]
        self.cells[request] = Cell(request)
        return self.cells[request]

    def run(self, code: str, **metadata: str) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.start(code, **metadata))

    def finish(self, cell: Cell) -> Cell:
        """Wait until a cell is over."""
        self.wait_until(lambda: cell.is_over, what="the end of a cell")
        return cell

    def value(self, expression: str) -> str:
        """What an expression gives, as text."""
        cell = self.run(f"print({expression})")
        assert not cell.error, cell.error
        return cell.text.strip()

    def interrupt(self) -> None:
        """As the button for it: a signal to the kernel, and to what it has started in its group."""
        self.manager.interrupt_kernel()

    def wait_until(self, predicate: Callable[[], Any], *, what: str = "") -> None:
        """Take in what the kernel says until something is true."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not predicate():
            if time.monotonic() > deadline:
                told = [(cell.text, cell.error, cell.is_over) for cell in self.cells.values()]
                shown = self.shown[-1][1].partition("</style>")[2] if self.shown else "nothing"
                raise TimeoutError(
                    f"not seen within {DEADLINE_SECONDS} s: {what or predicate}; {told[-1]}; {shown}"
                )
            self.listen(0.05)

    def listen(self, seconds: float) -> None:
        """Take in what the kernel says next."""
        try:
            message = self.client.get_iopub_msg(timeout=seconds)
        except Empty:
            return
        self._take(message["msg_type"], message["content"], message["parent_header"], message)

    def _take(
        self, kind: str, content: dict[str, Any], parent: dict[str, Any], message: dict[str, Any]
    ) -> None:
        cell = self.cells.get(parent.get("msg_id", ""), Cell(""))
        if kind == "status" and content["execution_state"] == "idle":
            cell.is_over = True
        elif kind == "stream":
            cell.text += content["text"]
        elif kind == "error":
            cell.error = f"{content['ename']}: {content['evalue']}"
        elif kind in ("display_data", "execute_result"):
            cell.outputs.append(content)
            self._count(content)
        elif kind == "update_display_data":
            self._count(content)
            for each in self._shown_as(content):
                each["data"] = content["data"]
        elif kind.startswith("comm_"):
            self._take_of_widget(kind, content)

    def _count(self, content: dict[str, Any]) -> None:
        display_id = content.get("transient", {}).get("display_id")
        if display_id:
            self.sent[display_id] = self.sent.get(display_id, 0) + 1

    def _shown_as(self, content: dict[str, Any]) -> Iterator[dict[str, Any]]:
        wanted = content["transient"]["display_id"]
        for cell in self.cells.values():
            for each in cell.outputs:
                if each.get("transient", {}).get("display_id") == wanted:
                    yield each

    def _take_of_widget(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "comm_close":
            del self.widgets[content["comm_id"]]
            return
        state = content["data"].get("state", {})
        widget = self.widgets.setdefault(content["comm_id"], {})
        widget.update(state)
        if widget.get("_model_name") == "HTMLModel" and "value" in state:
            self.shown.append((time.monotonic(), state["value"]))

    # ---- widgets

    def press(self, label: str) -> None:
        """Press a button."""
        [button] = [k for k, v in self.widgets.items() if v.get("description") == label]
        content = {
            "comm_id": button,
            "data": {"method": "custom", "content": {"event": "click"}},
        }
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))


@contextmanager
def running_kernel(folder: Path) -> Iterator[Kernel]:
    """A kernel of its own, whose files are below a folder."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=variables(folder), cwd=str(folder))
    try:
        kernel = Kernel(manager)
    except BaseException:
        manager.shutdown_kernel(now=True)
        raise
    try:
        yield kernel
    finally:
        kernel.close()
