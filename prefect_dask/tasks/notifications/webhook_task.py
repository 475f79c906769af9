"""WebhookTask: a message to a URL that takes JSON."""

from __future__ import annotations

from typing import Any

from prefect_dask.engine.errors import PrefectDaskError
from prefect_dask.task import Task
from prefect_dask.tasks.http import RequestFailed, send
from prefect_dask.tasks.needs import or_else, value_of
from prefect_dask.tasks.notifications.configured import secret_text


class NotDelivered(PrefectDaskError):
    """A message did not reach its receiver; the text never holds a webhook's URL, which is a secret."""

    def __init__(self, receiver: str, reason: str) -> None:
        super().__init__(f"a message to {receiver} was not delivered: {reason}")
        self.receiver, self.reason = receiver, reason


class WebhookTask(Task):
    """Sends JSON data to a webhook, by httpx (extra `http`).

    Args:
        message: What to send: a mapping or list, or text, which becomes `{"text": …}`; also an
            input of `run`, which wins.
        webhook_secret: The name of the secret that holds the URL; also an input of `run`.
        request_timeout_seconds: How long to wait for the receiver.
        settings: As for `Task`.

    The URL itself can be an input of `run`: `webhook_url`.

    Raises:
        NotDelivered: The receiver could not be reached, or refused.
        NoSuchSecret: The secret is not set.
    """

    def __init__(
        self,
        message: Any = None,
        webhook_secret: str = "WEBHOOK_URL",
        *,
        request_timeout_seconds: float = 30.0,
        **settings: Any,
    ) -> None:
        self.message, self.webhook_secret = message, webhook_secret
        self.request_timeout_seconds = request_timeout_seconds
        super().__init__(**settings)

    def run(
        self,
        message: Any = None,
        webhook_secret: str | None = None,
        webhook_url: str | None = None,
    ) -> None:
        name = or_else(webhook_secret, self.webhook_secret)
        post(
            webhook_url or secret_text(name),
            self.payload(value_of(self, "message", message)),
            receiver="the webhook given" if webhook_url else f"the webhook of secret {name!r}",
            timeout_seconds=self.request_timeout_seconds,
        )

    def payload(self, message: Any) -> Any:
        """The data that says `message`."""
        return {"text": message} if isinstance(message, str) else message


def post(url: str, payload: Any, *, receiver: str, timeout_seconds: float) -> None:
    """Send JSON data to a URL that must not be told.

    Raises:
        NotDelivered: It could not be reached, or refused.
    """
    try:
        send("POST", url, json=payload, timeout_seconds=timeout_seconds)
    except RequestFailed as exc:
        # Not `from exc`, nor in its context: that text has the path of the URL, which is the key.
        reason = exc.reason
    else:
        return
    raise NotDelivered(receiver, reason)
