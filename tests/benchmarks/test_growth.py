"""The growth of costs is measured, drawn and judged."""

from pathlib import Path

import pytest

from benchmarks.core.options import Options
from benchmarks.growth import SHAPES, WHERE, Point, growth_of, judge, lines_of, measure, plot


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


def line(*costs: float, whose: str = "ours") -> list[Point]:
    """A line of the plot, ten times as many tasks at each point."""
    return [Point("wide", "threads", whose, 10**n, cost) for n, cost in enumerate(costs, start=3)]


@pytest.mark.parametrize(
    ("costs", "met"),
    [
        ((90.0, 8.0, 10.0), [True, True]),
        ((8.0, 10.0, 12.5), [True, True]),
        ((8.0, 10.1, 9.0), [False, True]),
        ((8.0, 8.0, 10.1), [True, False]),
        ((8.0, 12.0, 18.0), [False, False]),
    ],
)
def test_at_no_step_a_task_may_become_dearer_by_more_than_a_fourth(costs, met, capsys):
    points = [*line(*costs), *line(1.0, 9.0, 99.0, whose="raw Dask")]

    grown = growth_of(points)
    assert [each.is_met for each in grown] == met
    assert [each.tasks for each in grown] == [(1_000, 10_000), (10_000, 100_000)]
    assert [each.times_raw for each in grown] == [9.0, 11.0]
    # The program prints these lines, and ends with this code.
    assert judge(points) == (0 if all(met) else 1)
    assert capsys.readouterr().out == "".join(f"{each}\n" for each in grown)
