"""Archives are packed and unpacked, and nothing that is in one gets out of its folder."""

import os
import stat
import zipfile
from pathlib import Path
from typing import Any, cast

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_dask import Flow
from prefect_dask.tasks.files import UnsafeArchive, Unzip, Zip
from prefect_dask.tasks.files.compression import check_members


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder: a.txt, sub/b.txt."""
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "a.txt").write_text("a" * 1000)
    (tmp_path / "folder" / "sub" / "b.txt").write_text("b")
    return tmp_path / "folder"


def archive_with(path: Path, *members: tuple[str | zipfile.ZipInfo, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members:
            archive.writestr(name, text)
    return path


def test_a_folder_is_packed_and_comes_out_as_it_was(folder, tmp_path):
    with Flow("zip") as flow:
        packed = Zip()(folder, tmp_path / "a.zip")
        unpacked = Unzip()(packed, tmp_path / "out")
    state = flow.run()
    assert state.result[packed].result == tmp_path / "a.zip"
    assert state.result[unpacked].result == tmp_path / "out"
    assert (tmp_path / "out" / "folder" / "a.txt").read_text() == "a" * 1000
    assert (tmp_path / "out" / "folder" / "sub" / "b.txt").read_text() == "b"


def test_several_sources_lie_side_by_side_in_an_archive(folder, tmp_path):
    Zip([folder / "a.txt", folder / "sub"], tmp_path / "a.zip").run()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["a.txt", "sub/b.txt"]


def test_two_sources_of_one_name_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"'a\.txt' is .* and"):
        Zip([folder / "a.txt", folder / "a.txt"], tmp_path / "a.zip").run()
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("method", ["deflate", "store", "bzip2", "lzma"])
def test_every_method_packs_what_comes_out_again(method, folder, tmp_path):
    Zip(folder, tmp_path / "a.zip", method).run()
    Unzip(tmp_path / "a.zip", tmp_path / "out").run()
    assert (tmp_path / "out" / "folder" / "a.txt").read_text() == "a" * 1000
    assert ((tmp_path / "a.zip").stat().st_size > 1000) == (method == "store")


def test_a_method_that_does_not_exist_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="deflate, store, bzip2, lzma"):
        Zip(folder, tmp_path / "a.zip").run(compression_method=cast("Any", "magic"))


def test_an_archive_does_not_pack_its_own_forerunner(folder):
    for _ in range(2):
        Zip(folder, folder / "all.zip").run()
    with zipfile.ZipFile(folder / "all.zip") as archive:
        assert archive.namelist() == ["folder/a.txt", "folder/sub/b.txt"]


def test_archives_go_through_urls(folder, tmp_path):
    fs = fsspec.filesystem("memory")
    try:
        assert Zip(folder, "memory://zips/a.zip").run() == "memory://zips/a.zip"
        Unzip("memory://zips/a.zip").run()
        assert fs.cat("/zips/folder/sub/b.txt") == b"b"
        Zip("memory://zips/folder", tmp_path / "b.zip").run()
        Unzip(tmp_path / "b.zip", tmp_path / "out").run()
        assert (tmp_path / "out" / "folder" / "sub" / "b.txt").read_text() == "b"
    finally:
        fs.rm("/zips", recursive=True)


def test_an_archive_is_unpacked_beside_itself_over_what_is_there(folder, tmp_path):
    Zip(folder, tmp_path / "a.zip").run()
    (folder / "a.txt").write_text("changed")
    (folder / "new.txt").write_text("kept")
    Unzip(tmp_path / "a.zip").run()
    assert (folder / "a.txt").read_text() == "a" * 1000
    assert (folder / "new.txt").read_text() == "kept"


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "a/../../out.txt",
        "/out.txt",
        "..\\out.txt",
        "C:\\out.txt",
        "C:out.txt",
        "a\\b",
    ],
)
def test_a_member_that_would_leave_the_folder_stops_all(name, tmp_path):
    info = zipfile.ZipInfo("x")
    info.filename = name
    path = archive_with(tmp_path / "bad.zip", ("good.txt", "good"), (info, "bad"))
    with pytest.raises(UnsafeArchive, match="nothing was unpacked"):
        Unzip(path, tmp_path / "out").run()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["bad.zip"]


def test_a_member_that_is_a_link_stops_all(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = archive_with(tmp_path / "bad.zip", (link, "../secret"))
    with pytest.raises(UnsafeArchive, match="is a link"):
        Unzip(path, tmp_path / "out").run()


def test_a_link_in_the_folder_leads_no_member_out_of_it(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    try:
        (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("links cannot be made here")
    path = archive_with(tmp_path / "a.zip", ("link/x.txt", "x"))
    with pytest.raises(UnsafeArchive, match="link out of"):
        Unzip(path, tmp_path / "out").run()
    assert not os.listdir(tmp_path / "elsewhere")


def test_an_archive_that_is_too_large_unpacked_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 20_000
    with pytest.raises(UnsafeArchive, match="10000000 bytes, the limit is 1000000"):
        Unzip(tmp_path / "bomb.zip", tmp_path / "out", size_limit_bytes=1_000_000).run()


def test_a_damaged_archive_leaves_the_folder_as_it_was(folder, tmp_path):
    Zip(folder, tmp_path / "a.zip", "store").run()
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.index(b"aaaa")
    data[at : at + 4] = b"bbbb"
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        Unzip(tmp_path / "a.zip", tmp_path / "out").run()
    assert not (tmp_path / "out").exists()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(alphabet="./\\:aC ", min_size=1, max_size=12))
def test_whatever_its_name_an_accepted_member_lies_in_the_folder(name, tmp_path):
    info = zipfile.ZipInfo("x")
    info.filename = name
    try:
        check_members("a.zip", [info])
    except UnsafeArchive:
        return
    folder = tmp_path / "folder"
    assert Path(os.path.normpath(folder / name)).is_relative_to(folder)
