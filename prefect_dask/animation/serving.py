"""A Bokeh server for one animation, on this machine alone, in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from prefect_dask.animation.errors import PortNotOurs, PortTaken

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.server.server import BaseServer

    from prefect_dask.animation.page import Page

ADDRESS: Final = "127.0.0.1"

#: Bokeh's own.
FIRST_PORT: Final = 5006

LAST_PORT: Final = 65_535

#: So many ports are tried, from the first one on.
TRIED: Final = 100

#: How often a live run is looked at, while somebody looks at it here.
LOOK_MS: Final = 400


#: Puts the page into an empty document.
Fill: TypeAlias = "Callable[[Document], Page]"


@contextmanager
def serve(fill: Fill, port: int | None) -> Iterator[str]:
    """The address at which a page is served during the block, a document for each who looks at it.

    Args:
        fill: Puts the page into an empty document.
        port: As for `Animation.serving`.
    """
    listening = listen(port)
    begun: Future[Any] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(fill, listening, begun)), name="animation"
    )
    thread.start()
    try:
        begun.result()
        yield f"http://localhost:{listening.getsockname()[1]}/"
    finally:
        if begun.exception() is None:
            begun.result()()
        thread.join()


async def _serve(fill: Fill, listening: socket.socket, begun: Future[Any]) -> None:
    """Serve until what `begun` gets is called."""
    loop, is_over = asyncio.get_running_loop(), asyncio.Event()
    try:
        server = _server(fill, listening)
        server.start()
    except BaseException as error:
        listening.close()
        begun.set_exception(error)
        return
    begun.set_result(lambda: loop.call_soon_threadsafe(is_over.set))
    try:
        await is_over.wait()
    finally:
        server.unlisten()
        server.stop()
        await server._http.close_all_connections()


def _server(fill: Fill, listening: socket.socket) -> BaseServer:
    from bokeh.application import Application
    from bokeh.application.handlers import FunctionHandler
    from bokeh.server.server import BaseServer
    from bokeh.server.tornado import BokehTornado
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop

    port = listening.getsockname()[1]

    def open_page(document: Document) -> None:
        page = fill(document)

        def look() -> None:
            page.look()
            if page.is_over:
                document.remove_periodic_callback(looking)

        if not page.is_over:
            looking = document.add_periodic_callback(look, LOOK_MS)

    tornado = BokehTornado(
        {"/": Application(FunctionHandler(open_page))},
        extra_websocket_origins=[f"localhost:{port}", f"{ADDRESS}:{port}"],
        absolute_url=None,
    )
    http = HTTPServer(tornado)
    http.add_sockets([listening])
    return BaseServer(IOLoop.current(), tornado, http)


# ---- ports


def listen(port: int | None) -> socket.socket:
    """A socket that listens on a port of this machine.

    Args:
        port: Which; when not given, the first one that is free.

    Raises:
        PortTaken: Something else listens there.
        PortNotOurs: Nobody may listen there.
    """
    if port is None:
        return _first_free(FIRST_PORT)
    if not 0 < port <= LAST_PORT:
        raise PortNotOurs(port, "there is no such port")
    try:
        return _listen(port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            with closing(_first_free(port + 1)) as other:
                raise PortTaken(port, other.getsockname()[1]) from error
        raise PortNotOurs(port, error.strerror or str(error)) from error


def _first_free(first: int) -> socket.socket:
    for port in range(first, min(first + TRIED, LAST_PORT + 1)):
        try:
            return _listen(port)
        except OSError:
            continue
    return _listen(0)


def _listen(port: int) -> socket.socket:
    listening = socket.create_server((ADDRESS, port))
    listening.setblocking(False)
    return listening


def port_of(url: str) -> int:
    """The port of an address.

    >>> port_of("http://localhost:5006/")
    5006
    """
    return urlsplit(url).port or 80
