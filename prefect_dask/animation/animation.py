"""One flow run to be played: shown in a notebook, saved as a file, or served while it goes on."""

from __future__ import annotations

import html
import os
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_dask.animation.errors import BokehMissing
from prefect_dask.animation.page import Page
from prefect_dask.animation.scene import scene_of
from prefect_dask.animation.timeline import Reader, Records

if TYPE_CHECKING:
    from bokeh.document import Document

#: The first one that shows one hint at a time where many bars are.
OLDEST_BOKEH = (3, 8)

#: How high it is in a notebook, pixels.
HEIGHT_IN_NOTEBOOK = 640


class Animation:
    """A recorded flow run to be played; `Ledger.animate`, `run.animate` and `handle.animate` make it.

    As the last value of a notebook's cell it is shown there, as it is then.

    Args:
        records: The ledger.
        run_id: The run's id, or as much of the beginning as tells it from others.

    Raises:
        UnknownRun: There is no such run.
        BokehMissing: Bokeh cannot be imported, or is too old.
    """

    def __init__(self, records: Records, run_id: str) -> None:
        check_bokeh()
        run = records.flow_run(run_id)
        self.run_id, self.flow_name = run.run_id, run.flow_name
        self._records = records
        self._scene = scene_of(records.flow(run.run_id))

    def __repr__(self) -> str:
        return f"<Animation: {self.flow_name!r}>"

    # ---- as a file

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as one HTML file, which needs no server and no network.

        A run that goes on is in it as far as it is now.

        Args:
            path: The file; one that is there is replaced.

        Returns:
            The path of the file.

        Raises:
            OSError: It cannot be written.
        """
        to = Path(path)
        to.write_text(self.as_html(), encoding="utf-8")
        return to

    def as_html(self) -> str:
        """The same as text."""
        from bokeh.document import Document
        from bokeh.embed import file_html
        from bokeh.resources import INLINE

        document = Document()
        self._page(is_served=False).fill(document)
        page: str = file_html(
            document,
            INLINE,
            title=document.title,
            template=document.template,
            template_variables=document.template_variables,
        )
        return page

    def _repr_html_(self) -> str:
        """It, in a frame of its own."""
        style = f"width: 100%; height: {HEIGHT_IN_NOTEBOOK}px; border: 0"
        return f'<iframe style="{style}" srcdoc="{html.escape(self.as_html())}"></iframe>'

    # ---- served

    def fill(self, document: Document) -> Page:
        """Put it into an empty Bokeh document, for a server of one's own.

        Returns:
            The page; as long as it is not over, have it `look` now and then.
        """
        page = self._page(is_served=True)
        page.fill(document)
        return page

    def _page(self, *, is_served: bool) -> Page:
        return Page(Reader(self._records, self.run_id), self._scene, is_served=is_served)

    @contextmanager
    def serving(self, port: int | None = None) -> Iterator[str]:
        """Its address, at which it is served on this machine alone during the block; a live run goes on there.

        Args:
            port: Where; when not given, 5006 or the next one that is free.

        Raises:
            PortTaken: Something else listens there.
        """
        from prefect_dask.animation.serving import serve

        with serve(self.fill, port) as url:
            yield url

    def serve(
        self,
        port: int | None = None,
        *,
        open_browser: bool = True,
        tell: Callable[[str], Any] = print,
    ) -> None:
        """Serve it on this machine alone until Ctrl-C.

        Args:
            port: As for `serving`.
            open_browser: Whether to open it in the browser.
            tell: Is given what a person should know: the address.

        Raises:
            PortTaken: Something else listens there.
        """
        from prefect_dask.animation.serving import FIRST_PORT, port_of

        with self.serving(port) as url:
            if port is None and port_of(url) != FIRST_PORT:
                tell(f"port {FIRST_PORT} is in use; taking {port_of(url)}")
            tell(f"{self.flow_name}, run {self.run_id[:12]}: {url} (Ctrl-C ends)")
            if open_browser:
                webbrowser.open(url)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                tell("")


def check_bokeh() -> None:
    """Raise BokehMissing where there is none that will do."""
    try:
        import bokeh.document
    except ImportError as error:
        raise BokehMissing(str(error)) from error
    version = bokeh.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_BOKEH:
        raise BokehMissing(f"{version} is installed")
