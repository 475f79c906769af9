"""Files are copied, moved, removed and found; on this machine, and through fsspec."""

import os
import sys
from pathlib import Path

import fsspec
import pytest

from prefect_dask import Flow, task
from prefect_dask.tasks.files import Copy, Glob, Move, Remove
from prefect_dask.tasks.needs import MissingValue


@pytest.fixture
def memory():
    """The URL of a folder in memory; gone at the end."""
    fs = fsspec.filesystem("memory")
    fs.makedirs("/tests")
    yield "memory://tests"
    fs.rm("/tests", recursive=True)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder: a.txt, sub/b.txt."""
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "folder" / "sub" / "b.txt").write_text("b")
    return tmp_path / "folder"


def write(url: str, text: str) -> None:
    with fsspec.open(url, "w") as file:
        file.write(text)


def text_at(url: str) -> str:
    with fsspec.open(url, "r") as file:
        return file.read()


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_file_is_copied_to_a_new_name(folder, tmp_path):
    made = Copy(folder / "a.txt", tmp_path / "new" / "c.txt").run()
    assert made == tmp_path / "new" / "c.txt"
    assert made.read_text() == "a"


def test_a_file_is_copied_into_a_folder_over_one_of_its_name(folder, tmp_path):
    (folder / "sub" / "a.txt").write_text("old")
    assert Copy().run(str(folder / "a.txt"), str(folder / "sub")) == folder / "sub" / "a.txt"
    assert tree(folder) == {"a.txt": "a", "sub/a.txt": "a", "sub/b.txt": "b"}


def test_a_folder_is_copied_with_all_that_is_in_it(folder, tmp_path):
    assert Copy(folder, tmp_path / "copy").run() == tmp_path / "copy"
    assert tree(tmp_path / "copy") == tree(folder) == {"a.txt": "a", "sub/b.txt": "b"}


def test_links_lead_round_in_no_circle(folder, tmp_path, memory):
    try:
        (folder / "circle").symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    Copy(folder, tmp_path / "copy").run()
    assert (tmp_path / "copy" / "circle").is_symlink()
    Copy(folder, f"{memory}/copy").run()
    assert len(fsspec.filesystem("memory").find("/tests/copy")) == 2


def test_a_folder_that_is_there_is_not_copied_over(folder, tmp_path):
    (tmp_path / "copy" / "folder").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="remove that one first"):
        Copy(folder, tmp_path / "copy").run()


def test_a_folder_is_not_copied_into_itself(folder):
    with pytest.raises(ValueError, match="inside"):
        Copy(folder, folder / "sub" / "copy").run()


def test_what_cannot_be_copied_leaves_nothing_half_done(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        Copy(folder / "missing.txt", tmp_path / "copy.txt").run()
    target = tmp_path / "target.txt"
    target.write_text("old")
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe")
        with pytest.raises(OSError, match="named pipe"):
            Copy(folder / "pipe", target).run()
    assert target.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "target.txt"]


def test_a_file_goes_to_a_url_and_comes_back(folder, memory, tmp_path):
    assert Copy(folder / "a.txt", f"{memory}/deep/x.txt").run() == f"{memory}/deep/x.txt"
    assert text_at(f"{memory}/deep/x.txt") == "a"
    assert Copy(f"{memory}/deep/x.txt", tmp_path / "back.txt").run() == tmp_path / "back.txt"
    assert (tmp_path / "back.txt").read_text() == "a"


def test_a_folder_goes_to_a_url_and_comes_back(folder, memory, tmp_path):
    Copy(folder, f"{memory}/copy").run()
    assert text_at(f"{memory}/copy/sub/b.txt") == "b"
    Copy(f"{memory}/copy", tmp_path / "back").run()
    assert tree(tmp_path / "back") == tree(folder)


def test_a_file_is_copied_within_a_store(memory):
    write(f"{memory}/x.txt", "x")
    Copy(f"{memory}/x.txt", f"{memory}/y.txt").run()
    assert text_at(f"{memory}/y.txt") == "x"


def test_a_file_moves_and_is_no_longer_there(folder):
    assert Move(folder / "a.txt", folder / "z.txt").run() == folder / "z.txt"
    assert tree(folder) == {"sub/b.txt": "b", "z.txt": "a"}


def test_what_moves_to_where_it_is_stays(folder, memory):
    write(f"{memory}/x.txt", "x")
    Move(f"{memory}/x.txt", f"{memory}/x.txt").run()
    Move(folder / "a.txt", folder).run()
    assert text_at(f"{memory}/x.txt") == "x"
    assert tree(folder) == {"a.txt": "a", "sub/b.txt": "b"}


def test_a_folder_moves_into_a_folder(folder, tmp_path):
    (tmp_path / "above").mkdir()
    Move(folder, tmp_path / "above").run()
    assert not folder.exists()
    assert tree(tmp_path / "above" / "folder") == {"a.txt": "a", "sub/b.txt": "b"}


def test_a_folder_moves_to_a_url(folder, memory):
    Move(folder, f"{memory}/moved").run()
    assert not folder.exists()
    assert text_at(f"{memory}/moved/sub/b.txt") == "b"


def test_files_and_folders_are_removed(folder, memory):
    Remove(folder / "a.txt").run()
    assert tree(folder) == {"sub/b.txt": "b"}
    Remove().run(folder)
    assert not folder.exists()
    write(f"{memory}/one/x.txt", "x")
    Remove(f"{memory}/one").run()
    assert not fsspec.filesystem("memory").exists("/tests/one")


def test_of_a_link_only_the_link_is_removed(folder, tmp_path):
    link = tmp_path / "link"
    try:
        link.symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    Remove(link).run()
    assert not link.exists()
    assert tree(folder) == {"a.txt": "a", "sub/b.txt": "b"}


def test_what_is_not_there_cannot_be_removed_unless_that_is_fine(tmp_path):
    with pytest.raises(FileNotFoundError):
        Remove(tmp_path / "missing").run()
    Remove(tmp_path / "missing", missing_ok=True).run()


def test_the_root_is_not_removed(tmp_path):
    with pytest.raises(ValueError, match="root of the file system"):
        Remove(tmp_path.anchor).run()


def test_what_is_found_is_sorted(folder, memory):
    assert Glob(folder).run() == [folder / "a.txt", folder / "sub"]
    assert Glob(folder, "**/*.txt").run() == [folder / "a.txt", folder / "sub" / "b.txt"]
    for name in ("b", "a"):
        write(f"{memory}/{name}.csv", "")
    assert Glob(memory, "*.csv").run() == ["memory:///tests/a.csv", "memory:///tests/b.csv"]


def test_a_folder_that_is_not_there_has_nothing_to_find(tmp_path):
    with pytest.raises(NotADirectoryError, match="missing"):
        Glob(tmp_path / "missing").run()


def test_a_flow_maps_over_what_is_found(folder):
    @task
    def length(path):
        return len(path.read_text())

    with Flow("sizes") as flow:
        lengths = length.map(Glob(folder, "**/*.txt")())
    assert flow.run().result[lengths].result == [1, 1]


def test_a_task_without_a_path_says_which_one_it_needs(tmp_path):
    with pytest.raises(MissingValue, match="target_path"):
        Copy(tmp_path).run()


def test_a_kind_of_url_that_nobody_knows_is_named():
    with pytest.raises(ValueError, match="nosuch"):
        Remove("nosuch://a/b").run()
