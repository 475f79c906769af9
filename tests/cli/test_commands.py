"""What holds for every command: its help, its place on the page, and that it refuses what cannot be used."""

import json
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from prefect_dask import Flow, Parameter, task
from prefect_dask.cli.main import main
from prefect_dask.ledger.places import place_of
from prefect_dask.ledger.upkeep import upgrade
from prefect_dask.settings import set_temporary_config
from tests.house.source import ROOT

PAGE = (ROOT / "docs" / "command-line.md").read_text("utf-8")


def commands(group: click.Group = main, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Each command that is no group, by what one types."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())

#: Those that need a ledger, and what they are given.
ON_THE_LEDGER = {
    "runs ls": "",
    "runs show": "abc",
    "runs logs": "abc",
    "runs attach": "abc",
    "runs cancel": "abc",
    "runs approve": "abc",
    "runs set-success": "abc load 1",
    "runs resume": "abc",
    "runs restart": "abc",
    "runs replay": "abc load[1] --pdb",
    "runs animate": "abc --no-browser",
    "runs rm": "abc --yes",
    "flows ls": "",
    "flows show": "etl",
    "limits ls": "",
    "limits rm": "tag:web",
    "database downgrade": "1 --yes",
    "database reset": "--yes",
}
MAKE_A_LEDGER = {"limits set": "tag:web 3", "database upgrade": ""}
TAKE_A_FILE_TOO = {"flows visualize": "etl"}
OTHERS = {"run", "version", "database info"}
ALL_ON_THE_LEDGER = {**ON_THE_LEDGER, **MAKE_A_LEDGER, **TAKE_A_FILE_TOO}
SETTINGS = {name for name in COMMANDS if name.startswith(("config ", "profile "))}

LISTINGS = {"ls", "show", "logs", "view", "inspect", "info", "version", "run", "attach"}


def invoke(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"PREFECT_HOME": str(home)})


def refused(home: Path, command: str, arguments: str) -> str:
    """What a command says that refuses."""
    done = invoke(home, *command.split(), *arguments.split())
    assert isinstance(done.exception, SystemExit), (command, done.exception)
    assert done.exit_code == 2, command
    return done.output


def test_every_command_is_known_here():
    assert set(COMMANDS) == {*ALL_ON_THE_LEDGER, *OTHERS, *SETTINGS}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_an_example_that_it_takes(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "values.toml").touch()
    command = COMMANDS[name]
    # As `main` makes it: a command keeps how it was first asked for its help.
    top = click.Context(main, **main.context_settings)
    examples = re.findall(r"^\s*(?:Example: )?(prefect-dask .*)$", command.epilog or "", re.M)
    assert examples, f"prefect-dask {name} --help shows no example"
    for example in examples:
        _, *words = shlex.split(example)
        path = name.split()
        assert words[: len(path)] == path, example
        command.make_context(name, words[len(path) :], parent=top)
        assert example in invoke(tmp_path, *path, "-h").output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_names_each_command(name):
    assert re.search(rf"`{name}[ `]", PAGE), f"docs/command-line.md does not name `{name}`"


def test_each_listing_is_there_for_programs():
    lacking = [
        name
        for name, command in COMMANDS.items()
        if name.split()[-1] in LISTINGS and "as_json" not in [p.name for p in command.params]
    ]
    assert not lacking


# ---- what cannot be used


def test_a_later_ledger_is_left_alone_by_every_command(tmp_path):
    file = tmp_path / "ledger.sqlite"
    place = place_of(file, tmp_path)
    assert place is not None
    upgrade(place)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = file.read_bytes()
    for command, arguments in ALL_ON_THE_LEDGER.items():
        told = refused(tmp_path, command, arguments)
        assert "has version 99 of the tables" in told and "upgrade prefect_dask" in told, command
    assert file.read_bytes() == before


def test_what_is_no_ledger_is_left_alone_by_every_command(tmp_path):
    file = tmp_path / "ledger.sqlite"
    file.write_text("my shopping list, which is longer than one hundred characters" * 40)
    before = file.read_bytes()
    for command, arguments in ALL_ON_THE_LEDGER.items():
        told = refused(tmp_path, command, arguments)
        assert "is no ledger" in told and "move it away" in told, command
    assert file.read_bytes() == before


def test_where_nothing_was_recorded_every_command_says_so_and_makes_nothing(tmp_path):
    for command, arguments in ON_THE_LEDGER.items():
        if command == "database downgrade":
            continue
        assert "nothing was recorded there" in refused(tmp_path, command, arguments), command
    assert not list(tmp_path.iterdir())


def test_where_no_ledger_is_configured_every_command_says_so(tmp_path):
    for command, arguments in {**ON_THE_LEDGER, **MAKE_A_LEDGER}.items():
        with set_temporary_config({"ledger.url": "none"}):
            told = refused(tmp_path, command, arguments)
        assert "'none' is configured" in told, command


def test_a_run_that_is_not_there_is_told_the_nearest_ids_by_every_command(tmp_path):
    @task
    def load():
        return 1

    ledger = tmp_path / "ledger.sqlite"
    Flow("etl", tasks=[load]).run(ledger=ledger)
    with closing(sqlite3.connect(ledger)) as connection:
        [(run_id,)] = connection.execute("SELECT run_id FROM flow_runs")
    first = "0" if run_id[0] != "0" else "1"
    of_runs = [name for name in ON_THE_LEDGER if name.startswith("runs ") and name != "runs ls"]
    assert len(of_runs) == 11
    for name in of_runs:
        # Another letter in its middle, or its first.
        for wrong in (run_id[:5] + "x" + run_id[6:], first + run_id[1:6]):
            told = refused(tmp_path, name, ON_THE_LEDGER[name].replace("abc", wrong))
            assert f"holds no flow run {wrong!r}; the nearest are {run_id}" in told, name


def test_of_large_parameters_a_person_is_shown_the_beginning_and_a_program_all(tmp_path):
    flow = Flow("large", tasks=[Parameter("numbers")])
    flow.run(numbers=list(range(10_000)), ledger=tmp_path / "ledger.sqlite")
    [run] = json.loads(invoke(tmp_path, "runs", "ls", "--json").stdout)

    shown = invoke(tmp_path, "runs", "show", run["run_id"]).stdout

    [line] = [line for line in shown.splitlines() if line.startswith("Parameters:")]
    assert '{"numbers": [0, 1, 2,' in line and line.endswith("…") and len(line) < 1_100
    assert run["parameters"]["numbers"][-1] == 9_999


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("rnu", "there is no command 'rnu'; did you mean 'run'?"),
        ("flows shwo", "there is no command 'shwo'; did you mean 'show'?"),
        ("runs ls --limit -3", "-3 is not in the range"),
        ("runs ls --limt 3", "--limit"),
        ("runs rm", "Missing argument 'RUN...'"),
        ("runs cancel abc --grace -1", "-1.0 is not in the range"),
        ("database downgrade 0", "0 is not in the range"),
        ("limits set web 3", "it says neither tag nor task"),
        ("config set tasks", "'tasks' is not KEY=VALUE"),
        ("--set tasks runs ls", "'tasks' is not KEY=VALUE"),
        ("run nowhere.py --executor dusk", "none of local, threads, processes, dask"),
    ],
)
def test_a_mistake_in_what_is_typed_is_told(tmp_path, typed, told):
    assert told in refused(tmp_path, *typed.split(" ", 1) if " " in typed else (typed, ""))
