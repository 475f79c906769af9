"""The notebook below whose cell something is shown: whether there is one, and a place in it that changes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol


def is_here() -> bool:
    """Whether this thread runs a notebook's cell: elsewhere nobody could say below which one to show something."""
    return kernel_shell() is not None and threading.current_thread() is threading.main_thread()


def kernel_shell() -> Any:
    """IPython's shell, where a notebook's kernel runs it; None elsewhere, also in IPython on a terminal."""
    # Looked up only: who runs in a kernel has imported both.
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


class Place(Protocol):
    """A place in a cell's output."""

    def show(self, html: str) -> None:
        """Show this in place of what is there; any thread may say so."""

    def show_again(self) -> None:
        """Show the same below the cell that runs now, too."""

    def settle(self, html: str, plain: str) -> None:
        """Show this for good: as HTML that is saved with the notebook, and needs no kernel."""


def new_place(html: str, plain: str, buttons: dict[str, Callable[[], None]] | None = None) -> Place:
    """A new place below the cell that runs now: a widget where ipywidgets is installed, else HTML.

    Args:
        html: What it shows first.
        plain: What it shows where there is no HTML.
        buttons: What is called when somebody presses one, by what it says; they need a widget.
    """
    try:
        import ipywidgets
    except ImportError:
        return _Html(html, plain)
    return _Widget(ipywidgets, html, plain, buttons or {})


class _Html:
    """HTML that is sent again as a whole when it changes."""

    def __init__(self, html: str, plain: str) -> None:
        self._html, self._plain = html, plain
        self._display = _display(self._bundle(), None)

    def show(self, html: str) -> None:
        self._html = html
        self._display.update(self._bundle(), raw=True)

    def show_again(self) -> None:
        _display(self._bundle(), self._display.display_id)

    def settle(self, html: str, plain: str) -> None:
        self._plain = plain
        self.show(html)

    def _bundle(self) -> dict[str, Any]:
        return {"text/html": self._html, "text/plain": self._plain}


class _Widget(_Html):
    """A widget: what changes goes past the notebook's document, which it would make to be saved each time."""

    def __init__(
        self, ipywidgets: Any, html: str, plain: str, buttons: dict[str, Callable[[], None]]
    ) -> None:
        self._shown = ipywidgets.HTML(html)
        made = [_button(ipywidgets, label, press) for label, press in buttons.items()]
        self._all = [self._shown, *made]
        self._whole = self._shown
        if made:
            self._whole = ipywidgets.VBox(self._all)
            self._all.append(self._whole)
        super().__init__(html, plain)

    def show(self, html: str) -> None:
        self._html = self._shown.value = html

    def settle(self, html: str, plain: str) -> None:
        # Before it is closed: a view of a widget that is not there says so in place of what it showed.
        self._html, self._plain, self._whole = html, plain, None
        self._shown.value = html
        self._display.update(self._bundle(), raw=True)
        for widget in self._all:
            for part in (widget.layout, getattr(widget, "style", None), widget):
                if part is not None:
                    part.close()
        self._all.clear()

    def _bundle(self) -> dict[str, Any]:
        bundle = super()._bundle()
        if self._whole is not None:
            bundle.update(self._whole._repr_mimebundle_())
            bundle.update(super()._bundle())
        return bundle


def _button(ipywidgets: Any, label: str, press: Callable[[], None]) -> Any:
    button = ipywidgets.Button(description=label)

    def pressed(_: Any) -> None:
        button.disabled = True
        press()

    button.on_click(pressed)
    return button


def _display(bundle: dict[str, Any], display_id: str | None) -> Any:
    from IPython.display import display

    return display(bundle, raw=True, display_id=display_id or True)


def cell_and_request() -> tuple[str, str]:
    """The id of the cell that runs now, "" where the front end does not say, and that of the request to run it."""
    shell = kernel_shell()
    parent = shell.get_parent() if shell is not None else {}
    return (
        str(parent.get("metadata", {}).get("cellId") or ""),
        str(parent.get("header", {}).get("msg_id") or ""),
    )
