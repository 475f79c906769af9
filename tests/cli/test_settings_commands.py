"""`prefect-dask config` and `profile`, and which of a setting's sources wins."""

import pytest


def value(program, key, *flags, **variables):
    """A setting as the command line sees it, and its source."""
    done = program(*flags, "config", "view", "--all", "--json", **variables)
    assert done.returncode == 0, done.stderr
    import json

    [found] = [each for each in json.loads(done.stdout) if each["key"] == key]
    return found["value"], found["source"]


KEY = "tasks.defaults.max_retries"


def test_each_source_of_a_setting_wins_over_those_before_it(program):
    assert value(program, KEY) == (0, "default")

    program.write("dask/any.yaml", "prefect:\n  tasks:\n    defaults:\n      max-retries: 1\n")
    program.environment["DASK_CONFIG"] = str(program.folder / "dask")
    assert value(program, KEY) == (1, "dask.config, section 'prefect'")

    program.write("home/config.toml", f"{KEY} = 2\n")
    assert value(program, KEY) == (2, str(program.home / "config.toml"))

    program.write("prefect_dask.toml", f"{KEY} = 3\n")
    assert value(program, KEY) == (3, "prefect_dask.toml")

    program.write("home/profiles.toml", f"active = 'one'\n[profiles.one]\n{KEY} = 4\n")
    assert value(program, KEY) == (4, "profile 'one'")

    program.environment["PREFECT_TASKS_DEFAULTS_MAX_RETRIES"] = "5"
    assert value(program, KEY) == (5, "environment")
    program.environment["PREFECT__TASKS__DEFAULTS__MAX_RETRIES"] = "6"
    assert value(program, KEY) == (6, "environment")

    assert value(program, KEY, "--set", f"{KEY}=7") == (7, "environment")


def test_a_variable_of_dask_counts_as_its_files_do(program):
    variables = {"DASK_PREFECT__STREAM__FLUSH_MILLISECONDS": "50"}
    assert value(program, "stream.flush_milliseconds", **variables)[0] == 50


def test_a_wrong_setting_in_dasks_file_says_where(program):
    program.write("dask/any.yaml", "prefect:\n  taks: 1\n")
    done = program("config", "view", DASK_CONFIG=str(program.folder / "dask"))
    assert done.returncode == 2
    assert "dask.config, section 'prefect': there is no setting 'taks'" in done.stderr


def test_the_flag_for_a_profile_wins_over_the_chosen_one(program):
    program.write(
        "home/profiles.toml", "active = 'a'\n[profiles.a]\nuser.n = 1\n[profiles.b]\nuser.n = 2\n"
    )
    assert value(program, "user.n")[0] == 1
    assert value(program, "user.n", "--profile", "b")[0] == 2
    assert value(program, "user.n", PREFECT_PROFILE="b")[0] == 2
    assert program("--profile", "c", "config", "view").returncode == 2


def test_settings_are_written_read_and_taken_back_and_comments_stay(program):
    program.write("home/config.toml", "# mine\n[tasks.defaults]\n# often\nmax_retries = 1\n")

    assert program("config", "set", f"{KEY}=2", "user.team=blue").returncode == 0
    text = (program.home / "config.toml").read_text()
    assert text == '# mine\n[tasks.defaults]\n# often\nmax_retries = 2\n\n[user]\nteam = "blue"\n'

    assert program("config", "unset", KEY).returncode == 0
    assert value(program, KEY) == (0, "default")
    assert "# often" in (program.home / "config.toml").read_text()
    again = program("config", "unset", KEY)
    assert again.returncode == 2 and "does not set" in again.stderr


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("tasks.defaults.max_retris=2", "did you mean 'tasks.defaults.max_retries'?"),
        ("tasks.defaults.max_retries=often", "must be a whole number, 0 or more, got 'often'"),
        ("logging.level=LOUD", "DEBUG or INFO"),
        ("logging.level", "is not KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_not_written(program, setting, told):
    done = program("config", "set", setting)
    assert done.returncode == 2
    assert told in done.stderr
    assert not program.home.exists()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("tasks.defaults.max_retris=2", "did you mean 'tasks.defaults.max_retries'?"),
        ("tasks.defaults.max_retries=often", "must be a whole number, 0 or more, got 'often'"),
    ],
)
def test_a_wrong_setting_before_a_command_is_told_as_what_it_is(program, setting, told):
    done = program("--set", setting, "config", "view")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: the command line: ") and told in done.stderr


def test_a_profile_that_is_not_there_is_told_whatever_was_to_be_done_with_it(program):
    program("profile", "create", "cluster")
    for command in (["profile", "delete", "clustr"], ["--profile", "clustr", "config", "view"]):
        done = program(*command)
        assert done.returncode == 2
        assert "there is no profile 'clustr'" in done.stderr
        assert "did you mean 'cluster'?" in done.stderr


def test_a_file_that_cannot_be_edited_safely_stays_as_it_is(program):
    text = "user.list = [\n  1,\n]\n"
    program.write("home/config.toml", text)
    done = program("config", "set", "user.list=3")
    assert done.returncode == 2
    assert "edit it by hand" in done.stderr
    assert (program.home / "config.toml").read_text() == text


def test_secrets_and_passwords_are_not_shown(program):
    program(
        "config", "set", "context.secrets.TOKEN=hush", "ledger.url=postgresql://me:hush@host/db"
    )
    for command in (["config", "view"], ["config", "view", "--json"]):
        done = program(*command)
        assert "hush" not in done.stdout + done.stderr
        assert "me@host/db" in done.stdout
    assert "hush" in (program.home / "config.toml").read_text()
    assert (program.home / "config.toml").stat().st_mode & 0o077 == 0


def test_a_profile_is_made_chosen_changed_renamed_and_deleted(program):
    assert program("profile", "create", "one").returncode == 0
    assert program("profile", "use", "one").returncode == 0
    assert program("config", "set", f"{KEY}=2").returncode == 0
    assert program("profile", "create", "two", "--from", "one").returncode == 0
    assert program("profile", "ls").stdout == "* one\n  two\n"
    assert program.json("profile", "inspect", "two") == {KEY: 2}

    assert program("profile", "rename", "one", "eins").returncode == 0
    assert (
        program("profile", "ls").stdout.split() == ["two", "*", "eins"]
        or "* eins" in program("profile", "ls").stdout
    )
    assert value(program, KEY) == (2, "profile 'eins'")

    kept = program("profile", "delete", "eins", stdin="n\n")
    assert kept.returncode == 2 and "1 settings will be lost" in kept.stderr
    assert program("profile", "delete", "eins", "--yes").returncode == 0
    assert program("profile", "ls").stdout == "  two\n"
    assert value(program, KEY) == (0, "default")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["create", "one"], "has a profile 'one' already"),
        (["create", "three", "--from", "on"], "did you mean 'one'?"),
        (["use", "on"], "did you mean 'one'?"),
        (["inspect", "on"], "did you mean 'one'?"),
        (["inspect"], "no profile is active"),
        (["rename", "on", "x"], "did you mean 'one'?"),
        (["rename", "one", "two"], "has a profile 'two' already"),
        (["delete", "on", "--yes"], "did you mean 'one'?"),
    ],
)
def test_profiles_that_are_not_there_or_there_already_are_told(program, command, told):
    program.write("home/profiles.toml", "[profiles.one]\n[profiles.two]\n")
    done = program("profile", *command)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_variable_that_wins_over_what_was_written_is_named(program):
    done = program("config", "set", f"{KEY}=2", PREFECT_TASKS_DEFAULTS_MAX_RETRIES="9")
    assert done.returncode == 0
    assert "PREFECT_TASKS_DEFAULTS_MAX_RETRIES is set, and wins" in done.stderr


def test_the_ledger_of_a_command_is_named_by_a_flag(program):
    program.write(
        "f.py",
        "from prefect_dask import Flow, task\nwith Flow('f') as flow:\n    task(lambda: 1)()\n",
    )
    assert program("--ledger", "here.sqlite", "run", "f.py").returncode == 0
    assert (program.folder / "here.sqlite").exists()
    assert not (program.home / "ledger.sqlite").exists()
    assert program("--ledger", "here.sqlite", "runs", "ls").stdout.count("Success") == 1
