"""The growth of costs is measured and drawn."""

from pathlib import Path

from benchmarks.core.options import Options
from benchmarks.growth import SHAPES, WHERE, lines_of, measure, plot


def test_each_shape_is_measured_in_a_place_and_drawn(tmp_path: Path):
    options = Options(scale=0.0001, rounds=1, threads_only=True)
    local = WHERE[:2]
    points = list(measure(["wide"], options, everywhere=local))

    lines = lines_of(points)
    assert set(lines) == {
        ("wide", where, whose) for where in local for whose in ("ours", "raw Dask")
    }
    assert all(len(line) == len(SHAPES["wide"].sizes) for line in lines.values())

    page = tmp_path / "growth.html"
    plot(points, page, "growth")
    assert "threads, raw Dask" in page.read_text("utf-8")
