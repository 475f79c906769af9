"""Messages to people: by mail, to Slack, or to any webhook; as tasks, or when a state changes."""

from prefect_dask.tasks.notifications.email_task import EmailTask
from prefect_dask.tasks.notifications.notifiers import (
    email_notifier,
    slack_notifier,
    webhook_notifier,
)
from prefect_dask.tasks.notifications.slack_task import SlackTask
from prefect_dask.tasks.notifications.webhook_task import WebhookTask

__all__ = [
    "EmailTask",
    "SlackTask",
    "WebhookTask",
    "email_notifier",
    "slack_notifier",
    "webhook_notifier",
]
