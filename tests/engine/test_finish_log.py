"""The ends of task runs are read back as they were noted, up to what was not written whole."""

import os

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from prefect_dask.engine.finish_log import ENDING, Finish, note_finish, read_finishes
from prefect_dask.engine.frames import framed

FINISHES = st.builds(
    Finish,
    st.text(max_size=20),
    st.integers(-1, 1000),
    st.integers(1, 5),
    st.sampled_from(["Success", "Failed"]),
    st.none() | st.text(max_size=20),
    st.floats(0, 2e9),
    st.none() | st.binary(max_size=50) | st.text(max_size=20),
    st.just({}) | st.just({"width": 3, "lengths": {0: [1, 2]}}),
)


@given(st.lists(FINISHES, max_size=5), st.integers(0, 200))
def test_each_is_read_back_until_one_is_torn(tmp_path_factory, finishes, lost):
    folder = tmp_path_factory.mktemp("finishes") / "run"
    for finish in finishes:
        note_finish(folder, finish)
    assert list(read_finishes(folder)) == finishes
    if finishes:
        [file] = folder.glob(f"*{ENDING}")
        os.truncate(file, max(0, file.stat().st_size - lost))
        read = list(read_finishes(folder))
        assert read == finishes[: len(read)]
        assert (len(read) < len(finishes)) == (lost > 0)


def test_what_a_later_version_adds_to_an_end_is_left_out(tmp_path):
    finish = Finish("slug", -1, 1, "Success", None, 1.0, b"kept")
    (tmp_path / f"later{ENDING}").write_bytes(framed(msgpack.packb([*finish, "more"])))

    assert list(read_finishes(tmp_path)) == [finish]


def test_where_nothing_was_noted_there_is_nothing(tmp_path):
    assert not list(read_finishes(tmp_path / "no folder"))
