"""What is there is shipped, what is shipped is there, and it has one name and one version."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

import prefect_dask
from tests.house.source import FOLDERS, ROOT, modules, source_files


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def files_of_the_repository() -> list[Path]:
    """What git holds or would take; skips where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the sources are not in a git repository here")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_the_package_list_is_equal_to_the_folders(setup_cfg: configparser.ConfigParser):
    listed = setup_cfg["options"]["packages"].split()
    folders = [name for name, path in source_files().items() if path.name == "__init__.py"]
    assert sorted(listed) == sorted(folders)


def test_every_folder_with_code_is_a_package():
    lost = {path.parent for path in source_files().values()}
    lost |= {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert not [str(folder) for folder in lost if not (folder / "__init__.py").exists()]


def test_every_data_file_in_a_package_is_shipped(setup_cfg: configparser.ConfigParser):
    patterns = {
        package: [pattern.strip() for pattern in value.split(",")]
        for package, value in setup_cfg["options.package_data"].items()
    }
    forgotten = []
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            if not path.is_file() or path.suffix in {".py", ".pyc"} or inside.parts[0] == "engine":
                continue
            owner = ".".join((package, *inside.parts[:-1]))
            if not any(fnmatch(path.name, pattern) for pattern in patterns.get(owner, [])):
                forgotten.append(f"{path}: not in package_data of {owner}")
    assert not forgotten, "\n".join(forgotten)


@pytest.mark.parametrize("name", ["engine", "lib.engine"])
def test_the_engine_refuses_every_name_but_its_own(name: str, tmp_path: Path):
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location({name!r}, sys.argv[1])\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
    )
    entry = ROOT / "engine" / "__init__.py"
    done = subprocess.run(
        [sys.executable, "-c", code, str(entry)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert f"imported as {name!r}; its one name is 'prefect_dask.engine'" in done.stderr


def test_a_users_own_engine_module_does_not_collide_with_ours(tmp_path: Path):
    (tmp_path / "engine.py").write_text("OWNER = 'the user'", encoding="utf-8")
    code = "import prefect_dask.engine, engine; print(engine.OWNER)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() == "the user"


def test_the_version_stands_in_one_place(setup_cfg: configparser.ConfigParser):
    assert setup_cfg["metadata"]["version"] == "attr: prefect_dask.version.__version__"
    assert importlib.metadata.version("prefect-dask") == prefect_dask.__version__
    elsewhere = [
        str(path)
        for folder in FOLDERS.values()
        for path in folder.rglob("*.py")
        if path.name != "version.py" and prefect_dask.__version__ in path.read_text("utf-8")
    ]
    assert not elsewhere


def test_every_module_says_what_it_is_for():
    silent = [str(module.path) for module in modules() if not ast.get_docstring(module.tree)]
    assert not silent, "no docstring:\n" + "\n".join(silent)


def test_there_is_no_module_for_odds_and_ends():
    assert not {name.split(".")[-1] for name in source_files()} & {
        "utils",
        "util",
        "helpers",
        "misc",
    }


def test_no_file_speaks_of_the_machine_it_was_written_on():
    place = re.compile(r"/(?:root|home|Users|wor[k]|far[m])/\w|bash[_]jobs|[A-Z]:\\Users")
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in files_of_the_repository()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if place.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_link_in_a_page_leads_somewhere():
    broken = [
        f"{page}: {target}"
        for page in files_of_the_repository()
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
