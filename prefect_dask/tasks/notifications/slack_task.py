"""SlackTask: a message to a channel of Slack, or of what takes Slack's format."""

from __future__ import annotations

from typing import Any

from prefect_dask.tasks.notifications.webhook_task import WebhookTask


class SlackTask(WebhookTask):
    """Sends a message to an incoming webhook of Slack, by httpx (extra `http`).

    Args:
        message: Text, or a mapping in Slack's own format (`blocks`, `attachments`); also an input
            of `run`, which wins.
        webhook_secret: The name of the secret that holds the URL; also an input of `run`.
        settings: As for `WebhookTask`.

    Raises:
        NotDelivered: Slack could not be reached, or refused.
        NoSuchSecret: The secret is not set.
    """

    def __init__(
        self, message: Any = None, webhook_secret: str = "SLACK_WEBHOOK_URL", **settings: Any
    ) -> None:
        super().__init__(message, webhook_secret, **settings)
