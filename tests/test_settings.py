"""Settings: which value wins, what type it has, and what is said of a wrong one."""

import copy
import os
import pickle
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from prefect_dask.settings import (
    Config,
    NoHomeFolder,
    NoSuchSetting,
    Section,
    SettingsFileDoesNotParse,
    SettingsFileUnreadable,
    UnfitSetting,
    UnknownProfile,
    UnknownSetting,
    config,
    home_folder,
    set_temporary_config,
)
from prefect_dask.settings.schema import DoesNotFit, Schema, Setting
from prefect_dask.settings.sources import literal, read_schema


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of prefect_dask that is not there yet."""
    for name in ("PREFECT_PROFILE", "PREFECT__USER_CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return path


# ---- which value wins


def test_dasks_file_is_above_the_defaults_and_a_projects_file_above_the_users(
    home, tmp_path, monkeypatch
):
    write(tmp_path / "dask/a.yaml", "prefect:\n  tasks: {defaults: {max-retries: 1, timeout: 1}}\n")
    write(home / "config.toml", "tasks.defaults.max_retries = 2\nstream.flush_milliseconds = 2")
    write(tmp_path / "prefect_dask.toml", "stream.flush_milliseconds = 3")
    monkeypatch.chdir(tmp_path)
    # Dask reads its files once, and this process may have loaded it long ago.
    code = (
        "from prefect_dask.settings import config\n"
        "d = config.tasks.defaults\n"
        "print(d.max_retries, d.timeout, config.stream.flush_milliseconds)"
    )
    environment = {**os.environ, "DASK_CONFIG": str(tmp_path / "dask")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "1.0", "3"]


def test_dask_is_not_loaded_for_settings_where_it_says_nothing_of_them(home):
    code = "import sys; from prefect_dask import config; config.tasks; print('dask' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_a_profile_is_chosen_for_good_in_its_file_and_a_variable_wins(home, monkeypatch):
    write(
        home / "profiles.toml",
        """
        active = "one"
        [profiles.one]
        user.name = "one"
        [profiles.two]
        user.name = "two"
        """,
    )
    assert Config().user.name == "one"
    monkeypatch.setenv("PREFECT_PROFILE", "two")
    assert Config().user.name == "two"


def test_without_files_the_defaults_hold_and_nothing_is_created(home):
    assert Config().tasks.defaults.max_retries == 0
    assert Config().tasks.defaults.retry_delay is None
    assert not home.exists()


def test_the_users_file_is_above_the_defaults(home):
    write(home / "config.toml", "tasks.defaults.max_retries = 2")
    assert Config().tasks.defaults.max_retries == 2


def test_the_active_profile_is_above_the_users_file(home, monkeypatch):
    write(home / "config.toml", "tasks.defaults = {max_retries = 2, timeout = 60}")
    write(
        home / "profiles.toml",
        """
        [profiles.night.tasks.defaults]
        max_retries = 5
        [profiles.day.tasks.defaults]
        max_retries = 1
        """,
    )
    monkeypatch.setenv("PREFECT_PROFILE", "night")

    defaults = Config().tasks.defaults

    assert (defaults.max_retries, defaults.timeout) == (5, 60.0)


def test_a_profile_that_is_not_active_changes_nothing(home):
    write(home / "profiles.toml", "[profiles.night.tasks.defaults]\nmax_retries = 5")
    assert Config().tasks.defaults.max_retries == 0


def test_the_environment_is_above_all_files(home, monkeypatch):
    write(home / "config.toml", "tasks.defaults.max_retries = 2")
    write(home / "profiles.toml", "profiles.night.tasks.defaults.max_retries = 5")
    monkeypatch.setenv("PREFECT_PROFILE", "night")
    monkeypatch.setenv("PREFECT__TASKS__DEFAULTS__MAX_RETRIES", "7")
    assert Config().tasks.defaults.max_retries == 7


def test_one_underscore_is_enough_and_two_win(home, monkeypatch):
    monkeypatch.setenv("PREFECT_TASKS_DEFAULTS_MAX_RETRIES", "3")
    assert Config().tasks.defaults.max_retries == 3

    monkeypatch.setenv("PREFECT__TASKS__DEFAULTS__MAX_RETRIES", "4")
    assert Config().tasks.defaults.max_retries == 4


def test_other_variables_with_one_underscore_are_left_alone(home, monkeypatch):
    monkeypatch.setenv("PREFECT_COLOUR_OF_THE_OFFICE", "grey")
    assert Config().logging.level == "INFO"


def test_the_users_file_may_lie_elsewhere(home, tmp_path, monkeypatch):
    path = write(tmp_path / "mine.toml", "logging.level = 'DEBUG'")
    monkeypatch.setenv("PREFECT__USER_CONFIG_PATH", str(path))
    assert Config().logging.level == "DEBUG"


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read(home):
    home.mkdir()
    (home / "config.toml").write_bytes(b'\xef\xbb\xbf[logging]\r\nlevel = "DEBUG"\r\n')
    assert Config().logging.level == "DEBUG"


def test_the_home_folder_follows_its_variable(home, monkeypatch):
    assert home_folder() == home
    monkeypatch.delenv("PREFECT_HOME")
    assert home_folder() == Path.home() / ".prefect_dask"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows always knows a home")
def test_a_user_without_a_home_has_the_defaults_and_is_told_when_he_needs_one():
    code = """
    import os, pwd
    def nobody(uid): raise KeyError(uid)
    pwd.getpwuid = nobody
    from prefect_dask.settings import NoHomeFolder, config, home_folder
    print(config.logging.level)
    try: home_folder()
    except NoHomeFolder as error: print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == "INFO"
    assert "set PREFECT_HOME" in done.stdout
    assert issubclass(NoHomeFolder, ValueError)


# ---- types


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "true", True),
        ("bool", "OFF", False),
        ("int", " 12 ", 12),
        ("float", "1e3", 1000.0),
        ("str", " as it is ", " as it is "),
        ("list", "a, b,", ("a", "b")),
        ("seconds", "1.5", 1.5),
    ],
)
def test_a_variable_is_read_as_the_kind_of_its_setting(kind, text, value):
    read = Setting("some.key", kind).read(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bool", "perhaps"),
        ("int", "1.5"),
        ("int", ""),
        ("float", "nan"),
        ("seconds", "-1"),
        ("seconds", "inf"),
    ],
)
def test_a_text_that_means_no_value_of_its_kind_is_refused(kind, text):
    with pytest.raises(DoesNotFit):
        Setting("some.key", kind).read(text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", True),
        ("int", 3.0),
        ("int", "3"),
        ("float", True),
        ("bool", 1),
        ("str", 1),
        ("list", "a"),
        ("list", ["a", 1]),
        ("seconds", "10"),
        ("seconds", None),
    ],
)
def test_a_value_of_another_kind_is_refused(kind, value):
    with pytest.raises(DoesNotFit):
        Setting("some.key", kind).fit(value)


def test_a_whole_number_will_do_for_a_number_and_a_timedelta_for_seconds():
    assert Setting("k", "float").fit(3) == 3.0
    assert Setting("k", "seconds").fit(timedelta(minutes=2)) == 120.0


def test_an_optional_setting_is_unset_by_an_empty_text(home, monkeypatch):
    write(home / "config.toml", "tasks.defaults.timeout = 60")
    monkeypatch.setenv("PREFECT__TASKS__DEFAULTS__TIMEOUT", "")
    assert Config().tasks.defaults.timeout is None


def test_one_of_a_few_words_may_be_written_in_any_case(home, monkeypatch):
    monkeypatch.setenv("PREFECT__LOGGING__LEVEL", "debug")
    assert Config().logging.level == "DEBUG"


# ---- what is said of a wrong one


def test_an_unknown_setting_in_a_file_is_named_with_file_line_and_the_nearest_one(home):
    path = write(
        home / "config.toml",
        '''
        # mine
        [logging]
        format = """
        [tasks.defaults]
        max_retris = 3
        """

        [tasks.defaults]
        max_retris = 3
        ''',
    )
    with pytest.raises(UnknownSetting) as caught:
        Config().logging
    assert str(caught.value).startswith(
        f"{path}:9: there is no setting 'tasks.defaults.max_retris'; "
        f"did you mean 'tasks.defaults.max_retries'?"
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "wanted"),
    [
        (
            "[tasks.defaults]\nmax_retries = 'three'",
            2,
            "tasks.defaults.max_retries",
            "whole number",
        ),
        ("tasks.defaults.max_retries = -1", 1, "tasks.defaults.max_retries", "0 or more"),
        ("# a\n\nlogging.level = 'LOUD'", 3, "logging.level", "DEBUG or INFO"),
        ("tasks = 3", 1, "tasks", "a table"),
        ("[user]\n[context]\nsecrets = 'hush'", 3, "context.secrets", "a table"),
        ("logging = {format = 'x',\tdatefmt = 5}", 1, "logging.datefmt", "text"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_file_line_and_what_is_wanted(
    home, text, line, key, wanted
):
    path = write(home / "config.toml", text)
    with pytest.raises(UnfitSetting) as caught:
        Config().current()
    assert str(caught.value).startswith(f"{path}:{line}: '{key}' must be ")
    assert wanted in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[tasks.defaults]\nmax_retries = three", 2, "tasks.defaults.max_retries"),
        ("[tasks.defaults]\nmax_retries 3", 2, "tasks.defaults.max_retries"),
        ("[tasks.defaults\nmax_retries = 3", 1, "tasks.defaults"),
        ("[logging]\nlevel = 'INFO'\n\nlevel = 'DEBUG'", 4, "logging.level"),
        ("[user]\nx = 1\ntext = '''\nnever\nclosed\n", 3, "user.text"),
        ("user.names = [\n 'a'\n 'b'\n]", 3, "user.names"),
        ("[context.secrets]\ntoken = hush\n", 2, "context.secrets.token"),
    ],
)
def test_a_file_that_does_not_parse_is_named_with_line_and_key(home, text, line, key):
    path = write(home / "config.toml", text)
    with pytest.raises(SettingsFileDoesNotParse) as caught:
        Config().current()
    assert (caught.value.line, caught.value.key) == (line, key)
    assert f"{path}:{line}: " in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_utf_8_is_named_with_line_and_key(home):
    home.mkdir()
    (home / "config.toml").write_bytes("[user]\nname = 'Zo\xeb'".encode("latin-1"))
    with pytest.raises(SettingsFileDoesNotParse, match=r"config.toml:2: .*'name'.*not UTF-8"):
        Config().current()


def test_a_file_that_was_named_and_is_not_there_is_an_error(home, monkeypatch):
    monkeypatch.setenv("PREFECT__USER_CONFIG_PATH", str(home / "nowhere.toml"))
    with pytest.raises(SettingsFileUnreadable, match=r"nowhere.toml cannot be read"):
        Config().current()


def test_an_unknown_profile_is_named_with_those_there_are(home, monkeypatch):
    write(home / "profiles.toml", "[profiles.night]")
    monkeypatch.setenv("PREFECT_PROFILE", "nigth")
    with pytest.raises(UnknownProfile, match="did you mean 'night'"):
        Config().current()


def test_a_profile_without_any_file_of_profiles_is_an_error(home, monkeypatch):
    monkeypatch.setenv("PREFECT_PROFILE", "night")
    with pytest.raises(SettingsFileUnreadable, match="PREFECT_PROFILE is 'night'"):
        Config().current()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profile.night]", r"profiles.toml:1: there is no setting 'profile'; did you mean 'profi"),
        ("profiles = 3", r"profiles.toml:1: 'profiles' must be a table"),
        ("[profiles]\nnight = 3", r"profiles.toml:2: 'profiles.night' must be a table"),
        ("[profiles.night]\nx = 3", r"profiles.toml:2: there is no setting 'x'"),
    ],
)
def test_a_mistake_in_the_profiles_is_named_with_its_line(home, monkeypatch, text, message):
    write(home / "profiles.toml", text)
    monkeypatch.setenv("PREFECT_PROFILE", "night")
    with pytest.raises(ValueError, match=message):
        Config().current()


def test_a_variable_that_is_no_setting_or_does_not_fit_is_named(home, monkeypatch):
    monkeypatch.setenv("PREFECT__TASKS__DEFAULTS__MAX_RETRIES", "three")
    with pytest.raises(UnfitSetting, match=r"PREFECT__TASKS__DEFAULTS__MAX_RETRIES.*whole number"):
        Config().current()
    monkeypatch.delenv("PREFECT__TASKS__DEFAULTS__MAX_RETRIES")

    monkeypatch.setenv("PREFECT__LOGGING__LEVLE", "INFO")
    with pytest.raises(UnknownSetting, match=r"PREFECT__LOGGING__LEVLE.*mean 'logging.level'"):
        Config().current()


def test_settings_that_could_not_be_read_are_read_again_when_next_asked_for(home):
    path = write(home / "config.toml", "logging.level = 3")
    settings = Config()
    with pytest.raises(UnfitSetting):
        settings.current()
    write(path, "logging.level = 'ERROR'")
    assert settings.logging.level == "ERROR"


@pytest.mark.parametrize(
    "error",
    [
        UnknownSetting("here", "a.b", ["a.c"]),
        UnfitSetting("here", "a.b", "text", "3"),
        SettingsFileDoesNotParse(Path("x.toml"), 3, "a.b", "why"),
        SettingsFileUnreadable(Path("x.toml"), "why"),
        UnknownProfile("a", Path("x.toml"), []),
        NoSuchSetting("a", []),
        NoHomeFolder(),
    ],
)
def test_an_error_survives_the_trip_between_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


# ---- the user's own


def test_users_keep_values_of_their_own(home, monkeypatch):
    write(
        home / "config.toml", "[user]\nteam = {name = 'blue', size = 4}\n[context]\ncity = 'Bern'"
    )
    monkeypatch.setenv("PREFECT__USER__TEAM__SIZE", "5")
    monkeypatch.setenv("PREFECT__CONTEXT__RATIO", "0.5")

    settings = Config()

    assert settings.user.team == {"name": "blue", "size": 5}
    assert (settings.context.city, settings.context.ratio) == ("Bern", 0.5)


@pytest.mark.parametrize("text", ["007", "nan", "1\nx = 2", "yes", "1_000", "0x10", ""])
def test_a_text_that_only_looks_like_a_number_stays_text(text):
    assert literal(text) == text


def test_a_secret_stays_text_and_keeps_the_case_of_its_name(home, monkeypatch):
    monkeypatch.setenv("PREFECT__CONTEXT__SECRETS__API__Key", "12345")
    assert Config().context.secrets["API__Key"] == "12345"


def test_secrets_are_not_shown(home):
    write(home / "config.toml", "[context.secrets]\nkey = 'hush'\ndeep = {er = 'hush'}")
    settings = Config()
    secrets = settings.context.secrets

    assert secrets.key == secrets.deep.er == "hush"
    shown = [settings, settings.current(), settings.context, secrets, secrets.deep]
    assert "hush" not in "".join(map(repr, shown)) + "".join(map(str, shown))
    assert "hush" not in str(settings.to_dict())
    assert settings.to_dict(include_secrets=True)["context"]["secrets"]["key"] == "hush"
    with pytest.raises(NoSuchSetting) as caught:
        _ = secrets.kex
    assert "hush" not in str(caught.value)


# ---- reading


def test_a_setting_that_does_not_exist_is_an_attribute_error_with_a_hint(home):
    assert not hasattr(Config(), "taks")
    with pytest.raises(NoSuchSetting, match=r"'tasks.defalts'; did you mean 'defaults'"):
        Config().tasks.defalts


def test_settings_cannot_be_set_in_place(home):
    settings = Config()
    with pytest.raises(TypeError, match=r"set_temporary_config\(\{'tasks.defaults.max_retries'"):
        settings.tasks.defaults.max_retries = 3
    with pytest.raises(TypeError, match="only read"):
        settings.tasks = 3
    with pytest.raises(TypeError, match="only read"):
        del settings.tasks.defaults.max_retries


def test_a_snapshot_is_the_callers_own_and_comes_back_as_it_was(home):
    write(home / "config.toml", "[user]\nnames = ['a', {b = 'c'}]\n[context.secrets]\nkey = 'hush'")
    settings = Config()
    snapshot = settings.to_dict(include_secrets=True)

    assert snapshot["user"]["names"] == ["a", {"b": "c"}]
    snapshot["user"]["names"].append("d")
    assert settings.user.names[0] == "a" and len(settings.user.names) == 2

    for section in (settings.current(), settings.context.secrets):
        for again in (pickle.loads(pickle.dumps(section)), copy.deepcopy(section)):
            assert again == section
            assert repr(again) == repr(section)
    assert Section(settings.to_dict(include_secrets=True)) == settings.current()


def test_a_pickle_of_the_configuration_is_that_of_the_process_it_arrives_in():
    assert pickle.loads(pickle.dumps(config)) is config
    assert copy.deepcopy(config) is config


def test_importing_reads_no_file_and_repr_does_not_either():
    code = """
    import sys
    from prefect_dask.settings import config
    print(config, 'tomllib' in sys.modules or 'tomli' in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "<Config: not read yet> False"


def test_completion_offers_the_sections(home):
    settings = Config()
    assert {"tasks", "logging", "user"} <= set(dir(settings))
    assert "max_retries" in dir(settings.tasks.defaults)
    assert "tasks" in settings and "taks" not in settings
    assert set(settings) == set(settings.current())
    assert settings["tasks"]["defaults"]["max_retries"] == 0


def test_reload_reads_again_and_a_wrong_file_leaves_what_was(home):
    path = write(home / "config.toml", "logging.level = 'ERROR'")
    settings = Config()
    assert settings.logging.level == "ERROR"

    write(path, "logging.level = 'DEBUG'")
    assert settings.logging.level == "ERROR"
    assert settings.reload().logging.level == "DEBUG"

    write(path, "logging.level = ")
    with pytest.raises(SettingsFileDoesNotParse):
        settings.reload()
    assert settings.logging.level == "DEBUG"


# ---- for a while


def test_temporary_settings_nest_and_end(home):
    before = config.to_dict()
    with set_temporary_config({"tasks.defaults.max_retries": 3}) as section:
        assert section.tasks.defaults.max_retries == 3
        with set_temporary_config({"tasks": {"defaults": {"timeout": 5}}, "user.x": "y"}):
            assert config.tasks.defaults == {"max_retries": 3, "retry_delay": None, "timeout": 5.0}
            assert config.user.x == "y"
        assert config.tasks.defaults.timeout is None
        assert "x" not in config.user
    assert config.to_dict() == before


def test_temporary_settings_end_with_an_exception_too():
    before = config.current()
    with pytest.raises(ZeroDivisionError), set_temporary_config({"logging.level": "ERROR"}):
        1 / 0
    assert config.current() == before


def test_temporary_settings_are_checked_and_a_wrong_one_changes_nothing():
    before = config.current()
    with (
        pytest.raises(UnknownSetting, match=r"did you mean 'tasks.defaults.max_retries'"),
        set_temporary_config({"logging.level": "ERROR", "tasks.defaults.max_retris": 3}),
    ):
        pass
    with (
        pytest.raises(
            UnfitSetting, match=r"set_temporary_config: 'flows.checkpointing' must be true"
        ),
        set_temporary_config({"flows.checkpointing": "yes"}),
    ):
        pass
    assert config.current() is before


def test_temporary_settings_outlive_a_reload(home):
    with set_temporary_config({"logging.level": "ERROR"}):
        config.reload()
        assert config.logging.level == "ERROR"


def test_other_threads_see_temporary_settings():
    seen = []
    with set_temporary_config({"tasks.defaults.max_retries": 9}):
        thread = threading.Thread(target=lambda: seen.append(config.tasks.defaults.max_retries))
        thread.start()
        thread.join(10)
    assert seen == [9]


def test_blocks_of_two_threads_that_overlap_take_back_their_own_only():
    began, may_end = threading.Event(), threading.Event()

    def other():
        with set_temporary_config({"user.left": "other", "user.right": "other"}):
            began.set()
            assert may_end.wait(10)

    thread = threading.Thread(target=other)
    with set_temporary_config({"user.left": "mine"}):
        thread.start()
        assert began.wait(10)
        assert dict(config.user) == {"left": "other", "right": "other"}
    assert dict(config.user) == {"left": "other", "right": "other"}
    may_end.set()
    thread.join(10)
    assert not config.user


def test_many_threads_first_ask_at_once_and_get_the_same(home):
    settings, barrier, seen = Config(), threading.Barrier(8), []

    def ask():
        barrier.wait(10)
        seen.append(settings.current())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 8
    assert len({id(section) for section in seen}) == 1


# ---- the settings that there are


def test_every_default_fits_its_own_setting():
    schema = read_schema()
    for setting in schema.settings.values():
        assert setting.fit(setting.default) == setting.default, setting.key
    assert schema.fit(schema.defaults(), lambda path: ".".join(path)) == schema.defaults()


def test_every_setting_has_a_variable_of_its_own_and_no_method_hides_it():
    schema = read_schema()
    variables = {key.replace(".", "_") for key in schema.keys}
    assert len(variables) == len(schema.keys)
    names = {name for key in schema.keys for name in key.split(".")}
    assert not {name for name in names if hasattr(Section, name) or hasattr(Config, name)}


def test_a_default_of_a_kind_that_no_setting_has_is_refused():
    with pytest.raises(TypeError, match=r"defaults\.toml"):
        Schema({"a": {"b": [1]}, "c": {"default": 1 + 2j}})


def test_the_page_on_configuration_lists_every_setting():
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert not [key for key in read_schema().keys if f"| `{key}` |" not in page]
