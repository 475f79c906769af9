"""EmailTask: a mail, by SMTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from prefect_dask.task import Task
from prefect_dask.tasks.needs import MissingValue, or_else, value_of
from prefect_dask.tasks.notifications.configured import secret_text_or_none
from prefect_dask.tasks.notifications.webhook_task import NotDelivered

if TYPE_CHECKING:
    from email.message import EmailMessage

SMTPType = Literal["SSL", "STARTTLS", "INSECURE"]
Addresses = str | Sequence[str]


class EmailTask(Task):
    """Sends a mail. Each argument is also an input of `run`, which wins.

    User and password come from the secrets EMAIL_USERNAME and EMAIL_PASSWORD, or from the inputs
    `username` and `password`; without a user there is no log-in.

    Args:
        subject: The subject.
        msg: The text, as HTML.
        email_to: To whom: an address, several with commas between, or a list.
        email_from: From whom; the user when not given.
        smtp_server: The server.
        smtp_port: Where it listens.
        smtp_type: "SSL", "STARTTLS", or "INSECURE": readable on the way.
        msg_plain: The text without HTML; one of the two texts is enough.
        email_to_cc: Who gets a copy, and is named.
        email_to_bcc: Who gets a copy, and is not named.
        attachments: Paths of files that go with it.
        request_timeout_seconds: How long to wait for the server.
        settings: As for `Task`.

    Raises:
        NotDelivered: The server could not be reached, or refused; also where it refused some of the
            receivers, then the others have it.
        MissingValue: There is no receiver, sender or text.
    """

    def __init__(
        self,
        subject: str | None = None,
        msg: str | None = None,
        email_to: Addresses | None = None,
        email_from: str | None = None,
        smtp_server: str = "smtp.gmail.com",
        smtp_port: int = 465,
        smtp_type: SMTPType = "SSL",
        msg_plain: str | None = None,
        email_to_cc: Addresses | None = None,
        email_to_bcc: Addresses | None = None,
        attachments: Sequence[str | os.PathLike[str]] | None = None,
        *,
        request_timeout_seconds: float = 30.0,
        **settings: Any,
    ) -> None:
        self.subject, self.msg, self.msg_plain = subject, msg, msg_plain
        self.email_to, self.email_from = email_to, email_from
        self.email_to_cc, self.email_to_bcc = email_to_cc, email_to_bcc
        self.smtp_server, self.smtp_port, self.smtp_type = smtp_server, smtp_port, smtp_type
        self.attachments = attachments
        self.request_timeout_seconds = request_timeout_seconds
        super().__init__(**settings)

    def run(
        self,
        subject: str | None = None,
        msg: str | None = None,
        email_to: Addresses | None = None,
        email_from: str | None = None,
        smtp_server: str | None = None,
        smtp_port: int | None = None,
        smtp_type: SMTPType | None = None,
        msg_plain: str | None = None,
        email_to_cc: Addresses | None = None,
        email_to_bcc: Addresses | None = None,
        attachments: Sequence[str | os.PathLike[str]] | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        user = username or secret_text_or_none("EMAIL_USERNAME")
        sender = or_else(email_from, self.email_from) or user
        if not sender:
            raise MissingValue(self.name, "email_from")
        to = addresses(value_of(self, "email_to", email_to))
        copies = addresses(or_else(email_to_cc, self.email_to_cc))
        unnamed = addresses(or_else(email_to_bcc, self.email_to_bcc))
        message = mail(
            or_else(subject, self.subject) or "",
            sender,
            to,
            copies,
            self._texts(msg, msg_plain),
            or_else(attachments, self.attachments) or (),
        )
        self._send(
            message,
            sender,
            [*to, *copies, *unnamed],
            server=or_else(smtp_server, self.smtp_server),
            port=or_else(smtp_port, self.smtp_port),
            kind=or_else(smtp_type, self.smtp_type),
            login=(user, password or secret_text_or_none("EMAIL_PASSWORD") or "") if user else None,
        )

    def _texts(self, msg: str | None, msg_plain: str | None) -> tuple[str | None, str | None]:
        html, plain = or_else(msg, self.msg), or_else(msg_plain, self.msg_plain)
        if not html and not plain:
            raise MissingValue(self.name, "msg")
        return html, plain

    def _send(
        self,
        message: EmailMessage,
        sender: str,
        receivers: Sequence[str],
        *,
        server: str,
        port: int,
        kind: SMTPType,
        login: tuple[str, str] | None,
    ) -> None:
        import smtplib
        import ssl
        from email.utils import parseaddr

        wait = self.request_timeout_seconds
        try:
            if kind == "SSL":
                tls = ssl.create_default_context()
                connection: smtplib.SMTP = smtplib.SMTP_SSL(server, port, timeout=wait, context=tls)
            elif kind in ("STARTTLS", "INSECURE"):
                connection = smtplib.SMTP(server, port, timeout=wait)
            else:
                raise ValueError(f"smtp_type is SSL, STARTTLS or INSECURE, got {kind!r}")
            with connection:
                if kind == "STARTTLS":
                    connection.starttls(context=ssl.create_default_context())
                if login is not None:
                    connection.login(*login)
                refused = connection.send_message(message, parseaddr(sender)[1], list(receivers))
        except (smtplib.SMTPException, OSError) as exc:
            raise NotDelivered(f"{server}:{port}", f"{type(exc).__name__}: {exc}") from exc
        if refused:
            raise NotDelivered(f"{server}:{port}", f"it refused {', '.join(sorted(refused))}")


def addresses(given: Addresses | None) -> list[str]:
    """Addresses as a list.

    >>> addresses("a@example.com, b@example.com"), addresses(None)
    (['a@example.com', 'b@example.com'], [])
    """
    parts = given.split(",") if isinstance(given, str) else list(given or ())
    return [part.strip() for part in parts if part.strip()]


def mail(
    subject: str,
    sender: str,
    to: Sequence[str],
    copies: Sequence[str],
    texts: tuple[str | None, str | None],
    attachments: Sequence[str | os.PathLike[str]] = (),
) -> EmailMessage:
    """A mail as data.

    Args:
        subject: One line.
        sender: From whom.
        to: To whom.
        copies: Who gets a copy, and is named.
        texts: As HTML, and plain.
        attachments: Paths of files.

    Raises:
        ValueError: There is a line break in a header.
        OSError: An attachment cannot be read.
    """
    import mimetypes
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid
    from pathlib import Path

    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, sender, ", ".join(to)
    if copies:
        message["Cc"] = ", ".join(copies)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid()
    html, plain = texts
    if plain:
        message.set_content(plain)
        if html:
            message.add_alternative(html, subtype="html")
    else:
        message.set_content(html or "", subtype="html")
    for path in map(Path, attachments):
        kind, encoding = mimetypes.guess_type(path.name)
        main, _, sub = (kind if kind and not encoding else "application/octet-stream").partition(
            "/"
        )
        message.add_attachment(path.read_bytes(), maintype=main, subtype=sub, filename=path.name)
    return message
