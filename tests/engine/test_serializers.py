"""Values become bytes and come back."""

import gzip
from datetime import datetime, timedelta, timezone

import pytest

from prefect_dask.engine.serializers import (
    CompressedSerializer,
    DateTimeSerializer,
    JSONSerializer,
    PandasSerializer,
    PickleSerializer,
    Serializer,
)


@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        (PickleSerializer(), {"a": (1, {2})}),
        (JSONSerializer(), {"a": [1, None]}),
        (DateTimeSerializer(), datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))),
        (CompressedSerializer(), list(range(1000))),
        (CompressedSerializer(JSONSerializer(), gzip.compress, gzip.decompress), "text"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_what_is_read_is_what_was_written(serializer: Serializer, value):
    assert serializer.deserialize(serializer.serialize(value)) == value


def test_a_pickle_holds_functions_that_have_no_name():
    serializer = PickleSerializer()
    assert serializer.deserialize(serializer.serialize(lambda x: x + 1))(1) == 2


def test_pickles_and_json_are_plain_so_that_others_can_read_them():
    import json
    import pickle

    assert pickle.loads(PickleSerializer().serialize([1])) == [1]
    assert json.loads(JSONSerializer().serialize([1])) == [1]


@pytest.mark.parametrize("text", [b"2024-05-01T12:00:00Z", b"2024-05-01T12:00:00"])
def test_a_moment_without_an_offset_is_in_utc(text):
    moment = DateTimeSerializer().deserialize(text)
    assert moment == datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


def test_what_is_no_datetime_is_named():
    with pytest.raises(TypeError, match="writes datetimes, got str"):
        DateTimeSerializer().serialize("today")


def test_a_data_frame_comes_back_from_a_file_format():
    import pandas

    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    serializer = PandasSerializer("csv", serialize_kwargs={"index": False})
    assert serializer.deserialize(serializer.serialize(frame)).equals(frame)


def test_what_cannot_be_written_as_a_data_frame_is_named():
    with pytest.raises(TypeError, match=r"to_csv\(\), got list"):
        PandasSerializer("csv").serialize([1])


def test_serializers_with_the_same_settings_are_equal():
    assert PickleSerializer() == PickleSerializer()
    assert PandasSerializer("csv") == PandasSerializer("csv") != PandasSerializer("parquet")
    assert PickleSerializer() != JSONSerializer()
