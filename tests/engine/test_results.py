"""Results are written whole or not at all, and found again where they lie."""

import pickle
import uuid
from pathlib import Path

import pytest

from prefect_dask.engine import files
from prefect_dask.engine.result import Facts, Result, StoreFailed, UnknownTemplateKey
from prefect_dask.engine.results import (
    AzureResult,
    ConstantResult,
    FSSpecResult,
    GCSResult,
    LocalResult,
    PrefectResult,
    S3Result,
    SecretResult,
    result_at,
    result_for_target,
)
from prefect_dask.engine.serializers import JSONSerializer


@pytest.fixture(params=["folder", "file URL", "memory URL"])
def store(request, tmp_path) -> Result:
    if request.param == "folder":
        return LocalResult(tmp_path)
    if request.param == "file URL":
        return FSSpecResult(tmp_path.as_uri())
    return FSSpecResult(f"memory://{uuid.uuid4().hex}")


def test_a_result_is_found_where_it_was_written(store):
    store.location = "{day}/{x[0]}.pickle"

    written = store.write({"rows": 3}, day="monday", x=[7])

    assert written.location == "monday/7.pickle"
    assert written.value == {"rows": 3}
    assert store.exists("monday/7.pickle")
    assert store.exists("{day}/7.pickle", day="monday")
    assert store.read("monday/7.pickle").value == {"rows": 3}


def test_what_was_not_written_does_not_exist(store):
    assert not store.exists("nothing.pickle")
    store.location = "folder/file"
    store.write(1)
    assert not store.exists("folder"), "a folder is no result"
    assert not store.exists("folder/file/below")


def test_the_last_one_written_counts(store):
    store.location = "one"
    store.write(1)
    store.write(2)
    assert store.read("one").value == 2


@pytest.fixture
def checks_before_naming():
    before = files._check_right
    yield files.ask_before_naming
    files.ask_before_naming(before)


def test_two_writers_at_the_top_of_a_file_system_leave_each_other_alone(
    tmp_path, checks_before_naming
):
    settings = {"path": str(tmp_path), "target_protocol": "file"}

    def write(location: str, value: str) -> None:
        FSSpecResult(storage_options=settings, location=location).write(value)

    def write_the_second(lately: bool) -> None:
        checks_before_naming(lambda lately: None)
        write("dir://x", "second")

    write("dir://.x", "another result")
    # When the first has all of its bytes there, and not yet its name.
    checks_before_naming(write_the_second)
    write("dir://x", "first")

    read = FSSpecResult(storage_options=settings).read
    assert read("dir://x").value == "first"
    assert read("dir://.x").value == "another result"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x", "x"]


@pytest.mark.parametrize("url", ["memory://", "memory:///", "memory://folder/"])
def test_the_top_of_a_file_system_is_a_folder_like_others(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = uuid.uuid4().hex
    result = FSSpecResult(url, location=name)

    result.write(1)

    folder = "folder/" if "folder" in url else ""
    assert FSSpecResult().read(f"memory://{folder}{name}").value == 1
    assert result.place(name) == f"{url}{name}"
    assert not list(tmp_path.iterdir()), "nothing lies in a local folder called 'memory:'"


def test_the_value_is_written_plainly(tmp_path):
    LocalResult(tmp_path, location="a.pickle").write([1])
    LocalResult(tmp_path, location="a.json", serializer=JSONSerializer()).write([1])
    assert pickle.loads((tmp_path / "a.pickle").read_bytes()) == [1]
    assert (tmp_path / "a.json").read_text() == "[1]"


def test_writing_leaves_no_other_file(tmp_path):
    result = LocalResult(tmp_path, location="a.json", serializer=JSONSerializer())
    result.write(1)
    with pytest.raises(StoreFailed, match=r"cannot write .*a\.json: TypeError"):
        result.write({1})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert result.read("a.json").value == 1


def test_a_store_that_cannot_be_reached_is_named_without_its_password():
    result = FSSpecResult("nosuch://me:secret@host/folder")
    with pytest.raises(StoreFailed) as failed:
        result.exists("a.pickle")
    assert "nosuch://me@host/folder/a.pickle" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_a_damaged_file_is_said_to_be_unreadable(tmp_path):
    (tmp_path / "a.pickle").write_bytes(b"\x80\x04")
    with pytest.raises(StoreFailed, match=r"cannot read .*a\.pickle"):
        LocalResult(tmp_path).read("a.pickle")


def test_a_template_that_names_what_is_not_there_says_what_is():
    with pytest.raises(UnknownTemplateKey) as error:
        Result(location="{dya}").format(day="monday", x=1)
    text = "the template '{dya}' names 'dya', which this task run has not"
    assert str(error.value).startswith(text)
    assert "did you mean 'day'? There are 'day', 'x'" in str(error.value)
    with pytest.raises(UnknownTemplateKey):
        Result(location="{}").format(day="monday")


def test_a_location_may_be_a_function_of_the_facts():
    assert (
        Result(location=lambda day, **_: f"{day}.pickle").format(day="m", x=1).location
        == "m.pickle"
    )
    with pytest.raises(TypeError, match="must return text, got int"):
        Result(location=lambda **_: 1).format()  # type: ignore[arg-type]  # on purpose


def test_only_facts_that_are_named_are_made():
    class Maker(dict):
        def __missing__(self, key):
            raise AssertionError("not asked for")

    assert Result(location="{x}").format(**{"x": 1}).location == "1"
    assert Facts({"x": 1}, Maker(x=2))["x"] == 1


def test_a_result_shows_its_value():
    assert repr(Result(3)) == "<Result: 3>"
    assert repr(LocalResult(value="v")) == "<LocalResult: 'v'>"


def test_options_of_a_store_are_not_shown():
    result = AzureResult("container", connection_string="secret")
    assert "secret" not in repr(result) + result.place("a")


def test_the_stores_of_clouds_are_urls_of_fsspec():
    assert S3Result("b").place("a/c") == "s3://b/a/c"
    assert GCSResult("b").place("c") == "gs://b/c"
    assert AzureResult("b").place("c") == "abfs://b/c"
    s3 = S3Result("b", boto3_kwargs={"region_name": "eu"})
    assert s3.storage_options == {"client_kwargs": {"region_name": "eu"}}


def test_a_small_value_can_be_its_own_location():
    written = PrefectResult().write({"a": 1})
    assert isinstance(written.location, str)
    assert PrefectResult().read(written.location).value == {"a": 1}
    assert PrefectResult().exists(written.location) and not PrefectResult().exists("{")
    with pytest.raises(StoreFailed, match="as JSON"):
        PrefectResult().write({1})


def test_a_constant_is_read_and_never_written():
    assert ConstantResult(5).read("anywhere").value == 5 and ConstantResult(5).exists("")
    with pytest.raises(ValueError, match="cannot be written"):
        ConstantResult(5).write(6)


def test_a_secret_is_read_anew_and_neither_written_nor_shown_nor_pickled():
    result = SecretResult(Secret()).read("")
    assert result.value == "plain text"
    assert repr(result) == "<SecretResult: 'KEY'>"
    assert b"plain text" not in pickle.dumps(result)
    with pytest.raises(ValueError, match="never written"):
        result.write("plain text")


class Secret:
    name = "KEY"

    def run(self):
        return "plain " + "text"


def test_a_place_asks_for_its_kind_of_result(tmp_path):
    assert isinstance(result_at("s3://b"), FSSpecResult)
    assert isinstance(result_at(str(tmp_path)), LocalResult)
    given = LocalResult(tmp_path)
    assert result_at(given) is given


def test_a_target_lies_in_the_result_of_its_task_unless_it_is_an_url(tmp_path):
    base = LocalResult(tmp_path, serializer=JSONSerializer())
    target = result_for_target(base, "a.json")
    assert target.place("a.json") == str(tmp_path / "a.json") and target.location == "a.json"
    assert base.location is None
    remote = result_for_target(base, "memory://a.json")
    assert isinstance(remote, FSSpecResult) and remote.serializer == base.serializer


def test_without_a_folder_results_are_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert Path(LocalResult().dir) == tmp_path / "results"
