"""A TCP proxy whose connections can be cut, and what travels through it held up."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from urllib.parse import urlsplit

#: Closing sends a reset, and forgets what is under way, as when a router goes.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes on connections, in a thread of its own.

    Args:
        target: Where to, such as "tcp://127.0.0.1:8786"; may be changed, for connections that come later.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._connections: set[asyncio.StreamWriter] = set()
        self._held_until = 0.0
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy")
        self._thread.start()

    @property
    def is_in_use(self) -> bool:
        """Whether there are connections."""
        return bool(self._connections)

    def abort(self) -> None:
        """Cut all connections there are."""
        self._loop.call_soon_threadsafe(self._abort)

    def delay(self, seconds: float) -> None:
        """Let nothing through for a while; nothing is lost."""

        def hold() -> None:
            self._held_until = self._loop.time() + seconds

        self._loop.call_soon_threadsafe(hold)

    def close(self) -> None:
        """End it, with its connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, sock=self._socket)
        )
        self._loop.run_forever()
        server.close()
        self._abort()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        # Of the loop, not only those of `_accept`: one may have been about to be accepted.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._abort()
        # What was closed lets its socket go in the loop's next turn.
        await asyncio.sleep(0)

    def _abort(self) -> None:
        for writer in list(self._connections):
            peer = writer.get_extra_info("socket")
            with suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.target)
        self._connections.add(writer)
        try:
            there, back = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            self._connections.discard(writer)
            writer.transport.abort()
            return
        for source, sink in ((reader, back), (there, writer)):
            task = self._loop.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._connections.add(back)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(1 << 16):
                while (left := self._held_until - self._loop.time()) > 0:
                    await asyncio.sleep(left)
                sink.write(data)
                await sink.drain()
        self._connections.discard(sink)
        sink.close()
