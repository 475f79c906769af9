"""Real servers for tests, on this machine: HTTP, an HTTP proxy, SMTP."""

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class HTTPServer:
    """A server: its URL, and what came in.

    /echo tells it as JSON; /status/N answers N, /fails/N does so until it was asked N times; /slow
    says nothing until `let_go` is set; all else is "ok".
    """

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)


@contextmanager
def http_server() -> Iterator[HTTPServer]:
    here = HTTPServer()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            came = Request(
                self.command, parts.path, parse_qs(parts.query), dict(self.headers), body
            )
            here.requests.append(came)
            status, text = 200, "ok"
            word, _, number = parts.path[1:].partition("/")
            if word == "echo":
                text = json.dumps({**vars(came), "body": body.decode()})
            elif word == "status":
                status, text = int(number), "the reason why"
            elif word == "fails":
                status = 503 if len(here.requests) <= int(number) else 200
            elif word == "slow":
                here.let_go.wait(20)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        here.url = f"http://127.0.0.1:{port}"
        try:
            yield here
        finally:
            here.let_go.set()


@dataclass
class Proxy:
    """A proxy that takes every request to one server: its URL, and what it was asked for."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def http_proxy(target: str) -> Iterator[Proxy]:
    """A proxy by CONNECT and by whole URLs; whatever is asked for, it asks `target`."""
    here = Proxy()
    host, port = urlsplit(target).hostname, urlsplit(target).port or 80

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            method, place, _ = line.decode().split(" ")
            here.asked.append(f"{method} {place}")
            with socket.create_connection((host, port)) as beyond:
                if method == "CONNECT":
                    while self.rfile.readline().strip():
                        pass
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    beyond.sendall(line)
                back = threading.Thread(target=pump, args=(beyond, self.connection))
                back.start()
                with suppress(ConnectionError):  # who asks may hang up at any moment
                    while data := self.rfile.read1(65536):  # type: ignore[attr-defined]  # it is buffered
                        beyond.sendall(data)
                with suppress(OSError):
                    beyond.shutdown(socket.SHUT_WR)
                back.join()

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with serving(server) as own_port:
        here.url = f"http://127.0.0.1:{own_port}"
        yield here


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(ConnectionError):
        while data := source.recv(65536):
            target.sendall(data)


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """The port of a server that runs in a thread, and of which nothing is left at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unused_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
