"""Secrets: tasks get them, and nobody else sees them, whatever the tasks do."""

import json
import logging
import pickle
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import cloudpickle
import pytest

from prefect_dask import Flow, case, task
from prefect_dask.engine import secrets
from prefect_dask.engine.results import LocalResult
from prefect_dask.engine.secrets import HIDDEN
from prefect_dask.engine.signals import FAIL, LOOP, SKIP
from prefect_dask.engine.state import Failed, State, Success
from prefect_dask.errors import NoSuchSecret, WrongSetting
from prefect_dask.executors import DaskExecutor, LocalDaskExecutor, LocalExecutor
from prefect_dask.settings import set_temporary_config
from prefect_dask.tasks.control_flow import merge
from prefect_dask.tasks.secrets import EnvVarSecret, PrefectSecret, Secret, SecretBase

PASSWORD = "Open Sesame/ü'7"
KEY = "-----BEGIN KEY-----\nqLc8vR2mXw94\nZt5sYb1nPd07\n-----END KEY-----"
PLANTED = {"PASSWORD": PASSWORD, "KEY": KEY, "LOGIN": {"user": "alibaba", "pin": 987654321}}
#: Not whole: who sees half of a secret has seen enough.
TELLTALES = ("Sesame", "qLc8vR2mXw94", "Zt5sYb1nPd07", "alibaba", "987654321")


@pytest.fixture(autouse=True)
def nothing_is_known_afterwards() -> Iterator[None]:
    yield
    secrets.forget_all()


# ---- where they come from


def into(got: list) -> Any:
    """A task that appends what it is given."""
    return task(lambda value: got.append(value), name="into")


def found(name: str, **run: Any) -> Any:
    """What a task gets for the secret of this name."""
    got: list = []
    with Flow("f") as flow:
        into(got)(PrefectSecret(name))
    state = flow.run(**run)
    assert state.is_successful(), state
    return got[0]


def test_a_secret_is_found_in_context_then_configuration_then_environment(monkeypatch):
    monkeypatch.setenv("PREFECT__CONTEXT__SECRETS__TOKEN", "of the environment")
    assert found("TOKEN") == "of the environment"
    with set_temporary_config({"context.secrets": {"TOKEN": "of the configuration"}}):
        assert found("TOKEN") == "of the configuration"
        assert found("TOKEN", context={"secrets": {"TOKEN": "of the run"}}) == "of the run"
        assert found("TOKEN", context={"secrets": {"OTHER": "x"}}) == "of the configuration"
        assert Secret("TOKEN").get() == "of the configuration"


def test_json_objects_and_lists_are_read_and_other_text_is_text():
    given = {"A": '{"user": "me"}', "B": "[1, 2]", "C": "12345", "D": "{not json", "E": "true"}
    values = {name: found(name, context={"secrets": given}) for name in given}
    assert values == {"A": {"user": "me"}, "B": [1, 2], "C": "12345", "D": "{not json", "E": "true"}


def test_a_missing_secret_fails_its_task_and_says_where_it_may_be_put():
    with Flow("f") as flow:
        nowhere = PrefectSecret("NOWHERE")()
        nameless = PrefectSecret()()
    state = flow.run()
    assert isinstance(state.result[nowhere].result, NoSuchSecret)
    assert "[context.secrets]" in state.result[nowhere].message
    assert "not told which" in state.result[nameless].message
    assert not Secret("NOWHERE").exists()


def test_a_name_may_be_given_when_the_task_is_called_or_mapped():
    got: list = []
    with Flow("f") as flow:
        one = PrefectSecret()("PASSWORD")
        many = PrefectSecret().map(["PASSWORD", "KEY"])
        into(got)(one)
        into(got)(many)
    state = flow.run(context={"secrets": PLANTED})
    assert sorted(got, key=str) == sorted([PASSWORD, [PASSWORD, KEY]], key=str)
    assert state.result[many].result == [HIDDEN, HIDDEN]


def test_a_variable_may_be_cast_and_a_cast_that_fails_tells_nothing(monkeypatch):
    monkeypatch.setenv("PORT_OF_CAVE", "4711")
    monkeypatch.setenv("NOT_A_PORT", PASSWORD)
    got: list = []
    with Flow("f") as flow:
        port = EnvVarSecret("PORT_OF_CAVE", cast=int)()
        into(got)(port)
        missing = EnvVarSecret("NO_SUCH_VARIABLE_HERE")()
        into(got)(missing, upstream_tasks=[port])
        must = EnvVarSecret("NO_SUCH_VARIABLE_HERE", raise_if_missing=True)()
        broken = EnvVarSecret("NOT_A_PORT", cast=int)()
    state = flow.run()
    assert sorted(got, key=str) == [4711, None]
    assert isinstance(state.result[must].result, NoSuchSecret)
    assert "***" in state.result[broken].message
    assert "Sesame" not in state.result[broken].message


@pytest.mark.parametrize(
    "setting",
    [
        {"cache_for": timedelta(hours=1)},
        {"target": "secret.txt"},
        {"result": object()},
        {"checkpoint": True},
        {"cache_key": "k"},
    ],
)
def test_a_secret_is_never_stored(setting):
    with pytest.raises(WrongSetting, match=next(iter(setting))):
        PrefectSecret("PASSWORD", **setting)
    if "checkpoint" not in setting:
        with pytest.raises(WrongSetting):
            PrefectSecret("PASSWORD").copy(**setting)


def test_a_run_that_goes_on_from_earlier_states_looks_its_secrets_up_again():
    got: list = []
    with Flow("f") as flow:
        password = PrefectSecret("PASSWORD")()
        inside = [password]
        taken = into(got)(inside)
    first = flow.run(context={"secrets": {"PASSWORD": "the old one"}})
    kept = {each: state for each, state in first.result.items() if each is not taken}
    flow.run(context={"secrets": {"PASSWORD": "the new one"}}, task_states=kept)
    assert got == [["the old one"], ["the new one"]]


# ---- a secret is planted, and everything is searched


@task
def shout(password):
    raise ValueError(f"wrong: {password}", password, {"given": [password]})


class Stubborn(Exception):
    """Cannot be told to forget."""

    def __init__(self, what):
        self.what = (what,)
        self.hidden = Keeper(what)

    def __str__(self):
        return f"no {self.what[0]}"

    def __reduce__(self):
        return Stubborn, (self.hidden.what,)


class Keeper:
    def __init__(self, what):
        self.what = what


@task
def stubborn(password):
    raise Stubborn(password)


@task
def chained(password):
    try:
        {}[password]
    except KeyError as error:
        raise RuntimeError("no such key") from error


@task
def quoted(login, key):
    raise OSError(
        2, json.dumps(login) + repr(key) + f"?pin={login['pin']}", f"/home/{login['user']}"
    )


@task(log_stdout=True)
def chat(password, key, login):
    from prefect_dask import context

    print("the password is", password)
    print(key)
    context.logger.info("%s and %r", key, login, extra={"password": password})
    context.logger.warning("the pin is %d", login["pin"])
    logging.getLogger("prefect_dask.somebody").warning("by the way: %s", login)
    try:
        raise ValueError(password)
    except ValueError:
        context.logger.exception("this happened")
    return len(password)


@task(task_run_name="log in as {login}", max_retries=1, retry_delay=0)
def signal(kind, login):
    raise kind(f"because of {login}")


@task
def loop(password):
    from prefect_dask import context

    if context.task_loop_count < 3:
        raise LOOP(f"turn with {password}")
    raise FAIL(password)


@task(isolation="process", log_stdout=True)
def elsewhere(password):
    print("elsewhere", password)
    raise ValueError(password)


@task
def length(value):
    return len(value)


def tell(task, old, new):
    if isinstance(new, Success):
        return Success(f"came from {PASSWORD}", result=new.result, context={"note": [PASSWORD]})
    return None


def planted_flow() -> Flow:
    with Flow("planted") as flow:
        password, key = PrefectSecret("PASSWORD")(), PrefectSecret("KEY")()
        login = PrefectSecret("LOGIN", state_handlers=[tell])()
        user = login["user"]
        shout(password)
        stubborn(password)
        chained(password)
        quoted(login, key)
        chat(password, key, login)
        signal(FAIL, login)
        signal(SKIP, [login])
        loop(password)
        elsewhere(password)
        length.map([password, key, user])
        length("prefix " + user)
        shout.map([[key], {"of": login}])
        with case(user, "somebody else"):
            other = length(user)
        merge(other, user)
    return flow


def see_all(executor: Any) -> tuple[State, dict[str, str]]:
    """A run of the flow with secrets, and all that can be seen of it, as texts by where they come from."""
    lines = StringIO()
    records: list = []
    flow = planted_flow()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    whole = Whole()
    logger = logging.getLogger("prefect_dask")
    logger.addHandler(handler)
    logger.addHandler(whole)
    try:
        state = flow.run(executor=executor, context={"secrets": PLANTED}, on_state=records.extend)
    finally:
        logger.removeHandler(handler)
        logger.removeHandler(whole)
    states = [s for each in state.result.values() for s in (each, *getattr(each, "map_states", ()))]
    errors = [s.result for s in states if isinstance(s.result, BaseException)]
    return state, {
        "log lines": lines.getvalue(),
        "log records": "\n".join(whole.seen),
        "records": repr(records),
        "the flow's state": repr(state) + repr(state.result) + repr(state.context),
        "messages": "\n".join(f"{s!r} {s.message} {s.context}" for s in states),
        "results": "\n".join(map(repr, (s.result for s in states))),
        "errors": "\n".join(f"{e} {e!r} {e.args} {vars(e)} {e.__cause__!r}" for e in errors),
        "JSON": "\n".join(json.dumps(s.serialize()) for s in states),
        "the pickled states": cloudpickle.dumps(list(state.result.values())).decode("latin-1"),
        "the flow": repr(flow) + json.dumps(flow.serialize()),
    }


class Whole(logging.Handler):
    """Keeps all that a record has, as a handler that writes JSON would."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record):
        self.seen.append(repr(vars(record)))


@pytest.fixture(scope="module", params=["local", "threads", "processes", "Dask"])
def seen(request):
    """What a run on each executor shows."""
    if request.param == "Dask":
        from distributed import LocalCluster

        with LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster:
            yield see_all(DaskExecutor(cluster.scheduler_address))
    elif request.param == "local":
        yield see_all(LocalExecutor())
    else:
        yield see_all(LocalDaskExecutor(request.param, num_workers=2))


def test_nothing_that_a_run_shows_has_the_secret_in_it(seen):
    _, texts = seen
    told = [f"{t!r} is in {where}" for where, text in texts.items() for t in TELLTALES if t in text]
    assert not told, "\n".join(
        [*told, *(texts[w] for w in texts if any(t in texts[w] for t in TELLTALES))]
    )
    assert "***" in texts["log lines"] and "the password is" in texts["log lines"]


def test_tasks_get_their_secrets_all_the_same(seen):
    state, _ = seen
    by_name: dict[str, list] = {}
    for each, its in state.result.items():
        by_name.setdefault(each.name, []).append(its)
    assert by_name["chat"][0].result == len(PASSWORD)
    mapped, plain = sorted(by_name["length"], key=lambda s: not s.is_mapped())[:2]
    assert mapped.result == [len(PASSWORD), len(KEY), len("alibaba")]
    assert plain.result == len("prefix alibaba")


def test_results_of_secrets_and_of_what_is_made_of_them_are_hidden(seen):
    state, _ = seen
    for each, its in state.result.items():
        if isinstance(each, SecretBase) or each.name in ("LOGIN[user]", "Add", "List", "Merge"):
            shown = [s.result for s in getattr(its, "map_states", [its])]
            assert all(result is HIDDEN for result in shown if result is not None), each


def test_an_error_keeps_its_type_where_that_can_be(seen):
    state, _ = seen
    kinds = {each.name: type(its.result).__name__ for each, its in state.result.items()}
    assert kinds["chained"] == "RuntimeError"
    assert kinds["quoted"] in ("FileNotFoundError", "OSError")
    assert kinds["stubborn"] == "TaskException"
    shouted = next(s for t, s in state.result.items() if t.name == "shout" and not s.is_mapped())
    assert "wrong: ***" in shouted.message
    assert isinstance(shouted, Failed) and type(shouted.result) is ValueError


def test_a_secret_is_hidden_in_what_dask_computes_of_a_flow():
    with Flow("f") as flow, set_temporary_config({"context.secrets": PLANTED}):
        password = PrefectSecret("PASSWORD")()
        count = length([password])
    with set_temporary_config({"context.secrets": PLANTED}):
        import dask

        (state,) = dask.compute(flow, scheduler="synchronous")
    assert state.result[count].result == 1
    assert state.result[password].result is HIDDEN
    assert "Sesame" not in repr(state.result)


# ---- masking


def test_text_is_masked_in_each_form_that_it_takes():
    secrets.remember("pass word'\n\"ü")
    for form in (
        "pass word'\n\"ü",
        repr("pass word'\n\"ü"),
        json.dumps({"p": "pass word'\n\"ü"}),
        "https://x.example/?p=pass+word%27%0A%22%C3%BC",
        "https://x.example/?p=pass%20word%27%0A%22%C3%BC",
    ):
        assert "word" not in secrets.masked(f"before {form} after"), form


def test_short_text_flags_and_nothing_are_not_masked():
    for value in ("abc", "", True, None, "    ", 12):
        secrets.remember(value)
    assert secrets.masked("abc True None 12 ....") == "abc True None 12 ...."


def test_the_longest_secret_is_masked_first():
    secrets.remember(["open", "open sesame"])
    assert secrets.masked("open sesame, open") == "***, ***"


def test_what_is_hidden_stays_one_thing_through_pickles_and_shows_as_stars():
    assert pickle.loads(pickle.dumps(HIDDEN)) is HIDDEN
    assert repr(HIDDEN) == "***"


def test_a_log_line_whose_arguments_do_not_fit_tells_nothing(capsys):
    secrets.remember(PASSWORD)
    record = logging.LogRecord("x", 20, "", 0, "%d of %s", (PASSWORD,), None)
    secrets.mask_record(record)
    assert record.getMessage() == "%d of %s (its arguments do not fit: TypeError)"


def test_a_secret_is_written_nowhere_whatever_flow_and_configuration_say(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    with Flow("f", result=LocalResult(str(tmp_path / "results"))) as flow:
        password = PrefectSecret("PASSWORD")()
        merge(password, "default")
        length([password], task_args={"cache_for": timedelta(hours=1)})
    with set_temporary_config({"flows.checkpointing": True}):
        assert flow.run(context={"secrets": PLANTED}).is_successful()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not any(b"Sesame" in data for data in written)
