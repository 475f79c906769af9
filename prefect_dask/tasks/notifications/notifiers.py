"""Notifiers: state handlers that tell somebody when a task or flow comes to a state.

A message that cannot be delivered is a warning in the log, and never changes the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from prefect_dask.engine.logs import get_logger
from prefect_dask.engine.state import State
from prefect_dask.tasks.notifications.email_task import Addresses, EmailTask
from prefect_dask.tasks.notifications.slack_task import SlackTask
from prefect_dask.tasks.notifications.webhook_task import WebhookTask

Handler = Callable[[Any, State, State], State | None]
States = Iterable[type[State]] | None


def slack_notifier(
    tracked: Any = None,
    old: State | None = None,
    new: State | None = None,
    *,
    only_states: States = None,
    ignore_states: States = None,
    webhook_secret: str = "SLACK_WEBHOOK_URL",
) -> Any:
    """A state handler that tells Slack; also itself one: `state_handlers=[slack_notifier]`.

    Args:
        tracked: With `old` and `new`, what a state handler is called with; else leave them out.
        old: The state before.
        new: The state to tell of.
        only_states: Tell of these alone, and of those derived from them.
        ignore_states: Do not tell of these.
        webhook_secret: The name of the secret that holds the webhook's URL.

    Returns:
        The handler; None when called as one.

    Example:
        >>> from prefect_dask.engine.state import Failed
        >>> from prefect_dask import Flow
        >>> flow = Flow("nightly", state_handlers=[slack_notifier(only_states=[Failed])])
    """
    handler = notifier(
        partial(_tell_slack, webhook_secret), only_states=only_states, ignore_states=ignore_states
    )
    if new is None or old is None:
        return handler
    return handler(tracked, old, new)


def webhook_notifier(
    webhook_secret: str = "WEBHOOK_URL",
    *,
    only_states: States = None,
    ignore_states: States = None,
) -> Handler:
    """A state handler that sends JSON to a webhook: `name`, `kind`, `state`, `message`, `text`.

    Args:
        webhook_secret: The name of the secret that holds the URL.
        only_states: Tell of these alone, and of those derived from them.
        ignore_states: Do not tell of these.
    """
    return notifier(
        partial(_tell_webhook, webhook_secret),
        only_states=only_states,
        ignore_states=ignore_states,
    )


def email_notifier(
    email_to: Addresses,
    *,
    only_states: States = None,
    ignore_states: States = None,
    **mail: Any,
) -> Handler:
    """A state handler that sends a mail.

    Args:
        email_to: To whom.
        only_states: Tell of these alone, and of those derived from them.
        ignore_states: Do not tell of these.
        mail: Arguments of `EmailTask`, such as `smtp_server`.
    """
    return notifier(
        partial(_tell_by_mail, {"email_to": email_to, **mail}),
        only_states=only_states,
        ignore_states=ignore_states,
    )


def notifier(
    tell: Callable[[Any, State], Any],
    *,
    only_states: States = None,
    ignore_states: States = None,
) -> Handler:
    """A state handler that calls `tell(task or flow, state)` for the states that are asked for.

    What `tell` raises is logged as a warning.
    """
    only = None if only_states is None else tuple(only_states)
    return partial(_handle, tell, only, tuple(ignore_states or ()))


def _handle(
    tell: Callable[[Any, State], Any],
    only: tuple[type[State], ...] | None,
    ignored: tuple[type[State], ...],
    tracked: Any,
    old: State,
    new: State,
) -> None:
    if isinstance(new, ignored) or (only is not None and not isinstance(new, only)):
        return
    try:
        tell(tracked, new)
    except Exception as error:  # whatever a receiver does, the run goes on
        get_logger("notifications").warning(
            "%r is %s, and nobody was told: %s", tracked, type(new).__name__, error
        )


def sentence(tracked: Any, state: State) -> str:
    """What happened, in one line.

    >>> from prefect_dask.engine.state import Failed
    >>> sentence("<Task: load>", Failed("disk full"))
    '<Task: load> is Failed: disk full'
    """
    text = f"{tracked} is {type(state).__name__}"
    return f"{text}: {state.message}" if state.message else text


def _tell_slack(webhook_secret: str, tracked: Any, state: State) -> None:
    # Slack reads <…> as a link.
    text = sentence(tracked, state).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    attachment = {"color": state.color, "text": text, "fallback": text}
    SlackTask(webhook_secret=webhook_secret).run({"attachments": [attachment]})


def _tell_webhook(webhook_secret: str, tracked: Any, state: State) -> None:
    message = {
        "name": getattr(tracked, "name", str(tracked)),
        "kind": "flow" if hasattr(tracked, "tasks") else "task",
        "state": type(state).__name__,
        "message": state.message,
        "text": sentence(tracked, state),
    }
    WebhookTask(webhook_secret=webhook_secret).run(message)


def _tell_by_mail(mail: dict[str, Any], tracked: Any, state: State) -> None:
    name = getattr(tracked, "name", str(tracked))
    EmailTask(**mail).run(
        subject=f"{name} is {type(state).__name__}", msg_plain=sentence(tracked, state)
    )
