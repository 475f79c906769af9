"""install() serves old names when it is asked to, and never else."""

import sys
from pathlib import Path

import pytest

from prefect_dask import compat

OTHER = "from . import flows\nWHOSE = 'theirs'\n"


@pytest.fixture
def other_prefect(tmp_path: Path) -> Path:
    """A folder with another package of the name."""
    package = tmp_path / "elsewhere" / "prefect"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(OTHER)
    (package / "flows.py").touch()
    return package.parent


def test_nothing_is_served_until_it_is_asked_for_and_after_it_is_taken_back():
    compat.install()
    compat.install()
    compat.uninstall()
    compat.uninstall()
    assert not [name for name in sys.modules if name.split(".")[0] == "prefect"]
    with pytest.raises(ModuleNotFoundError):
        exec("import prefect")


def test_another_package_of_the_name_is_left_alone(python, other_prefect: Path):
    done = python(
        "-c",
        f"import sys; sys.path.insert(0, {str(other_prefect)!r})\n"
        "import prefect_dask, prefect_dask.compat, prefect.flows\n"
        "print(prefect.WHOSE)",
    )
    assert done.stdout.strip() == "theirs", done.stderr


def test_another_package_of_the_name_has_to_be_overruled(python, other_prefect: Path):
    done = python(
        "-c",
        f"import sys; sys.path.insert(0, {str(other_prefect)!r})\n"
        "from prefect_dask import compat\n"
        "try:\n"
        "    compat.install()\n"
        "except compat.PrefectIsHere as error:\n"
        "    print(error.where)\n"
        "compat.install(force=True)\n"
        "import prefect\n"
        "print(prefect.Flow.__module__)",
    )
    where, whose = done.stdout.split()
    assert Path(where) == other_prefect / "prefect" / "__init__.py"
    assert whose == "prefect_dask.flow"


def test_it_is_too_late_once_another_package_of_the_name_is_imported(python, other_prefect: Path):
    done = python(
        "-c",
        f"import sys; sys.path.insert(0, {str(other_prefect)!r})\n"
        "import prefect, prefect_dask.compat\n"
        "prefect_dask.compat.install(force=True)",
    )
    assert "PrefectIsImported: a package named prefect is imported already" in done.stderr


def test_a_folder_of_flow_files_may_be_called_prefect(python, tmp_path: Path):
    (tmp_path / "here" / "prefect").mkdir()
    done = python(
        "-c",
        "import prefect_dask.compat; prefect_dask.compat.install()\n"
        "from prefect import Flow; print(Flow.__module__)",
    )
    assert done.stdout.strip() == "prefect_dask.flow", done.stderr
