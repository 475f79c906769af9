"""HTTP requests by httpx (extra `http`): HTTPGet, HTTPPost, and HTTPRequest for the other methods.

The variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE are honoured. Error texts
hold neither the query of a URL nor a user in it: that is where keys are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.task import Task
from prefect_dask.tasks.needs import MissingExtra, or_else, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ReadAs = Literal["text", "json", "bytes", "response"]

#: Of a body that came with an error, characters that are told.
BODY_LIMIT_CHARACTERS = 500


class RequestFailed(PrefectDaskError):
    """A request got no answer, or one that says that it went wrong.

    Attributes:
        method: As in `GET`.
        url: The URL, without user and query.
        status_code: What was answered; None without an answer.
    """

    def __init__(self, method: str, url: str, reason: str, status_code: int | None = None) -> None:
        super().__init__(f"{method} {url}: {reason}")
        self.method, self.url, self.reason, self.status_code = method, url, reason, status_code


@dataclass(frozen=True)
class Response:
    """An answer, as plain data.

    Attributes:
        status_code: As in 200.
        headers: By name in small letters.
        content: The body, decompressed.
        encoding: Of text in the body.
    """

    status_code: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    encoding: str = "utf-8"

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(self.encoding, "replace")

    def json(self) -> Any:
        """The body as JSON data; ValueError where it is none."""
        import json

        return json.loads(self.content)


class HTTPRequest(Task):
    """Sends a request and returns what is answered.

    It is sent once; whether a failure is tried again is the task's own `max_retries`, with
    `retry_on=RequestFailed` where one likes.

    Args:
        method: As in "PUT".
        url: Where to; also an input of `run`, which wins.
        params: The query, by name; also an input of `run`.
        headers: By name; those given to `run` are added. Credentials belong there, from a secret.
        json: A body, sent as JSON; also an input of `run`.
        data: A body: bytes, text, or a mapping, sent as a form; also an input of `run`.
        read_as: What to return: the body's "text", its "json" data, its "bytes", or a "response"
            with status and headers.
        raise_for_status: Whether a status of 400 or above fails the task.
        follow_redirects: Whether to go where an answer sends one.
        request_timeout_seconds: How long to wait for a connection, and for each piece of an answer;
            the task's `timeout` limits the whole.
        settings: As for `Task`.

    Raises:
        RequestFailed: There was no answer, or one with such a status.
        MissingExtra: httpx is not installed.
    """

    def __init__(
        self,
        method: str = "GET",
        url: str | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
        read_as: ReadAs = "text",
        raise_for_status: bool = True,
        follow_redirects: bool = True,
        request_timeout_seconds: float = 30.0,
        **settings: Any,
    ) -> None:
        if read_as not in ("text", "json", "bytes", "response"):
            raise ValueError(f"read_as is text, json, bytes or response, got {read_as!r}")
        self.method, self.url, self.params = method.upper(), url, params
        self.headers, self.json, self.data = dict(headers or {}), json, data
        self.read_as, self.raise_for_status = read_as, raise_for_status
        self.follow_redirects = follow_redirects
        self.request_timeout_seconds = request_timeout_seconds
        super().__init__(**settings)

    def run(
        self,
        url: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
    ) -> Any:
        response = send(
            self.method,
            value_of(self, "url", url),
            params=or_else(params, self.params),
            headers={**self.headers, **(headers or {})},
            json=or_else(json, self.json),
            data=or_else(data, self.data),
            raise_for_status=self.raise_for_status,
            follow_redirects=self.follow_redirects,
            timeout_seconds=self.request_timeout_seconds,
        )
        if self.read_as == "json":
            return response.json()
        return {"text": response.text, "bytes": response.content}.get(self.read_as, response)


class HTTPGet(HTTPRequest):
    """Sends a GET request; arguments as for `HTTPRequest`, without `method`.

    Example:
        >>> HTTPGet("https://example.com/prices", read_as="json", name="prices")
        <Task: prices>
    """

    def __init__(self, url: str | None = None, **settings: Any) -> None:
        super().__init__("GET", url, **settings)


class HTTPPost(HTTPRequest):
    """Sends a POST request; arguments as for `HTTPRequest`, without `method`."""

    def __init__(self, url: str | None = None, **settings: Any) -> None:
        super().__init__("POST", url, **settings)


def send(
    method: str,
    url: str,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    json: Any = None,
    data: Any = None,
    raise_for_status: bool = True,
    follow_redirects: bool = True,
    timeout_seconds: float = 30.0,
) -> Response:
    """Send one request; arguments as for `HTTPRequest`.

    Raises:
        RequestFailed: There was no answer, or one with a status of 400 or above.
        MissingExtra: httpx is not installed.
    """
    try:
        import httpx
    except ImportError as exc:
        raise MissingExtra("httpx", "http") from exc

    body: dict[str, Any] = {"json": json} if json is not None else {}
    if data is not None:
        body["data" if isinstance(data, Mapping) else "content"] = data
    shown = url_without_secrets(url)
    try:
        with (
            unlogged(),
            httpx.Client(timeout=timeout_seconds, follow_redirects=follow_redirects) as client,
        ):
            answer = client.request(method, url, params=params, headers=headers, **body)
    except httpx.InvalidURL as exc:
        raise RequestFailed(method, shown, "that is not a URL") from exc
    except httpx.HTTPError as exc:
        reason = f"no answer: {type(exc).__name__}: {exc}"
        if isinstance(exc, httpx.TimeoutException):
            reason = f"timed out: nothing came for {timeout_seconds:g} s ({type(exc).__name__})"
        raise RequestFailed(method, shown, reason) from exc
    if raise_for_status and answer.status_code >= 400:
        reason = f"answered {answer.status_code} {answer.reason_phrase}"
        if text := answer.text[:BODY_LIMIT_CHARACTERS].strip():
            reason = f"{reason}: {text}"
        raise RequestFailed(method, shown, reason, answer.status_code)
    return Response(
        answer.status_code, dict(answer.headers), answer.content, answer.encoding or "utf-8"
    )


def url_without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment.

    >>> url_without_secrets("https://me:pw@example.com:8443/a?key=1#top")
    'https://example.com:8443/a'
    """
    scheme, colon, rest = str(url).partition("://")
    if not colon:
        return "(no URL)"
    rest = rest.partition("?")[0].partition("#")[0]
    # A password may hold a slash where it should not: all before the last @ goes.
    return f"{scheme}://{rest.rpartition('@')[2]}"


_quiet = threading.local()


def _is_told(record: logging.LogRecord) -> bool:
    return not getattr(_quiet, "is_on", False)


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep httpx from logging whole URLs, in this thread, within the block."""
    logging.getLogger("httpx").addFilter(_is_told)  # once, however often it is added
    before = getattr(_quiet, "is_on", False)
    _quiet.is_on = True
    try:
        yield
    finally:
        _quiet.is_on = before
