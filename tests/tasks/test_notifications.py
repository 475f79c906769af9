"""Messages go to a real SMTP server and a real webhook, both on this machine."""

import json
import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from prefect_dask import Flow, task
from prefect_dask.engine import secrets
from prefect_dask.engine.state import Failed, Running, Success
from prefect_dask.errors import NoSuchSecret
from prefect_dask.executors import LocalDaskExecutor
from prefect_dask.settings import set_temporary_config
from prefect_dask.tasks.needs import MissingValue
from prefect_dask.tasks.notifications import (
    EmailTask,
    SlackTask,
    WebhookTask,
    email_notifier,
    slack_notifier,
    webhook_notifier,
)
from prefect_dask.tasks.notifications.webhook_task import NotDelivered
from tests.tasks.servers import HTTPServer, http_server, unused_port


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(autouse=True)
def secrets_are_masked_in_this_test_alone():
    yield
    secrets.forget_all()


# ---- webhooks


@pytest.fixture
def hook() -> Iterator[HTTPServer]:
    """A webhook, whose URL is in the secrets WEBHOOK_URL and SLACK_WEBHOOK_URL."""
    with http_server() as server, secret_urls(f"{server.url}/planted"):
        yield server


def secret_urls(url: str):
    return set_temporary_config(
        {"context.secrets.WEBHOOK_URL": url, "context.secrets.SLACK_WEBHOOK_URL": url}
    )


def bodies(server: HTTPServer) -> list:
    return [json.loads(request.body) for request in server.requests]


def test_text_and_data_go_to_a_webhook(hook):
    WebhookTask("done").run()
    WebhookTask().run({"rows": 3})
    assert bodies(hook) == [{"text": "done"}, {"rows": 3}]


def test_a_flow_tells_slack_what_a_task_made(hook):
    @task
    def count():
        return "3 rows"

    with Flow("count") as flow:
        told = SlackTask()(message=count())
    assert flow.run(executor=LocalDaskExecutor()).result[told].is_successful()
    assert bodies(hook) == [{"text": "3 rows"}]


def test_the_url_of_a_webhook_may_come_from_a_task(hook):
    with set_temporary_config({"context.secrets.WEBHOOK_URL": ""}):
        WebhookTask("hello").run(webhook_url=f"{hook.url}/other")
    assert hook.requests[0].path == "/other"


def test_a_webhook_that_nobody_set_is_named():
    with pytest.raises(NoSuchSecret, match="PREFECT__CONTEXT__SECRETS__MY_HOOK"):
        SlackTask("hello", webhook_secret="MY_HOOK").run()


@pytest.mark.parametrize("path", ["status/403", "gone"])
def test_the_url_of_a_webhook_is_not_told_when_it_fails(path, caplog):
    caplog.set_level(logging.DEBUG)
    with http_server() as server:
        host = server.url if path != "gone" else f"http://127.0.0.1:{unused_port()}"
        with secret_urls(f"{host}/{path}?planted"), Flow("told") as flow:
            told = SlackTask("hello")()
        with secret_urls(f"{host}/{path}?planted"):
            state = flow.run().result[told]
    assert isinstance(state.result, NotDelivered)
    assert "secret 'SLACK_WEBHOOK_URL'" in state.message
    whole = f"{caplog.text} {state.message} {pickle.dumps(state)!r}"
    assert "planted" not in whole and host not in whole


def test_slack_is_told_of_the_states_that_are_asked_for(hook):
    @task(state_handlers=[slack_notifier(only_states=[Failed])])
    def divide(x):
        return 1 / x

    with Flow("divide") as flow:
        divide(1)
        divide(0)
    flow.run()
    (body,) = bodies(hook)
    (attachment,) = body["attachments"]
    assert attachment["text"] == "&lt;Task: divide&gt; is Failed: division by zero"
    assert attachment["color"] == Failed.color


def test_the_slack_notifier_is_itself_a_handler(hook):
    with Flow("quiet", state_handlers=[slack_notifier]) as flow:
        task(lambda: 1, name="one")()
    flow.run()
    said = [body["attachments"][0]["text"].split(":")[1].strip() for body in bodies(hook)]
    assert said == ['name="quiet"&gt; is Running', 'name="quiet"&gt; is Success']


def test_a_webhook_is_told_of_all_but_what_is_ignored(hook):
    notify = webhook_notifier(ignore_states=[Running])
    with Flow("one", state_handlers=[notify]) as flow:
        task(lambda: 1, name="one")()
    flow.run()
    (body,) = bodies(hook)
    assert (body["name"], body["kind"], body["state"]) == ("one", "flow", "Success")


def test_a_notifier_that_reaches_nobody_warns_and_lets_the_run_go_on(caplog):
    with (
        secret_urls(f"http://127.0.0.1:{unused_port()}/planted"),
        Flow("unheard", state_handlers=[slack_notifier(only_states=[Success])]) as flow,
    ):
        task(lambda: 1, name="one")()
    assert flow.run().is_successful()
    assert "nobody was told" in caplog.text and "planted" not in caplog.text


def test_notifiers_can_be_sent_to_other_processes():
    for handler in (slack_notifier, slack_notifier(only_states=[Failed]), email_notifier("a@b.c")):
        assert pickle.loads(pickle.dumps(handler))


# ---- mail


@dataclass
class Mailbox:
    """An SMTP server, and what came in: who sent to whom, and the mail."""

    port: int = 0
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, mail))  # type: ignore[arg-type]
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, given):
        from aiosmtpd.smtp import AuthResult

        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=given.password == b"correct", handled=False)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    from aiosmtpd import controller

    box = Mailbox()
    server = controller.Controller(
        box,
        hostname="127.0.0.1",
        port=unused_port(),
        authenticator=box.authenticate,
        auth_require_tls=False,
    )
    server.start()
    box.port = server.port
    try:
        yield box
    finally:
        server.stop()


def email(box: Mailbox, **arguments) -> EmailTask:
    here = {"smtp_server": "127.0.0.1", "smtp_port": box.port, "smtp_type": "INSECURE"}
    return EmailTask(**{"email_from": "Flows <flows@example.com>", **here, **arguments})


def test_a_mail_arrives_with_both_texts_and_its_attachment(mailbox, tmp_path):
    (tmp_path / "räport.csv").write_text("a,b\n")
    with Flow("mail") as flow:
        sent = email(mailbox, email_to="a@example.com, b@example.com")(
            subject="Grüße",
            msg="<p>hi</p>",
            msg_plain="hi",
            email_to_cc=["c@example.com"],
            email_to_bcc="d@example.com",
            attachments=[tmp_path / "räport.csv"],
        )
    assert flow.run().result[sent].is_successful()
    ((sender, receivers, mail),) = mailbox.mails
    assert sender == "flows@example.com"
    assert receivers == [f"{letter}@example.com" for letter in "abcd"]
    assert (mail["Subject"], mail["To"]) == ("Grüße", "a@example.com, b@example.com")
    assert mail["Cc"] == "c@example.com" and "d@example.com" not in mail.as_string()
    assert mail.get_body(("plain",)).get_content().strip() == "hi"
    assert mail.get_body(("html",)).get_content().strip() == "<p>hi</p>"
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == "räport.csv"
    assert attachment.get_payload(decode=True) == b"a,b\n"


def test_user_and_password_come_from_secrets(mailbox):
    secrets = {
        "context.secrets.EMAIL_USERNAME": "me@x.org",
        "context.secrets.EMAIL_PASSWORD": "correct",
    }
    with set_temporary_config(secrets):
        email(mailbox, subject="s", msg="m", email_to="a@b.c", email_from=None).run()
    assert mailbox.logins == [("me@x.org", "correct")]
    assert mailbox.mails[0][0] == "me@x.org"


def test_a_password_that_is_refused_is_not_told(mailbox, caplog):
    caplog.set_level(logging.DEBUG)
    with Flow("mail") as flow:
        sent = email(mailbox, msg="m", email_to="a@b.c")(username="me", password="planted")
    state = flow.run().result[sent]
    assert isinstance(state.result, NotDelivered) and "Authentication" in state.message
    assert "planted" not in f"{caplog.text} {state.message}"


def test_those_who_are_refused_are_named_and_the_others_have_the_mail(mailbox):
    with pytest.raises(NotDelivered, match=r"refused nobody@b\.c$"):
        email(mailbox, msg="m", email_to="nobody@b.c, a@b.c").run()
    assert mailbox.mails[0][1] == ["a@b.c"]


def test_a_line_break_cannot_add_a_header(mailbox):
    with pytest.raises(ValueError, match=r"linefeed|newline"):
        email(mailbox, subject="s\nBcc: x@y.z", msg="m", email_to="a@b.c").run()
    assert not mailbox.mails


def test_a_server_that_does_not_encrypt_gets_no_mail(mailbox):
    with pytest.raises(NotDelivered, match="STARTTLS"):
        email(mailbox, msg="m", email_to="a@b.c", smtp_type="STARTTLS").run()
    assert not mailbox.mails


def test_a_mail_server_that_is_not_there_is_named():
    port = unused_port()
    with pytest.raises(NotDelivered, match=rf"127\.0\.0\.1:{port}"):
        email(Mailbox(port), msg="m", email_to="a@b.c").run()


@pytest.mark.parametrize("missing", ["email_to", "email_from", "msg"])
def test_what_a_mail_lacks_is_named(missing):
    whole = {"email_to": "a@b.c", "email_from": "a@b.c", "msg": "m"}
    with pytest.raises(MissingValue, match=missing):
        email(Mailbox(), **{**whole, missing: None}).run()


def test_a_mail_tells_of_a_flow_that_failed(mailbox):
    server = {"smtp_server": "127.0.0.1", "smtp_port": mailbox.port, "smtp_type": "INSECURE"}
    notify = email_notifier("a@b.c", only_states=[Failed], email_from="f@b.c", **server)
    with Flow("nightly", state_handlers=[notify]) as flow:
        task(lambda: 1 / 0, name="broken")()
    flow.run()
    ((_, _, mail),) = mailbox.mails
    assert mail["Subject"] == "nightly is Failed"
