"""The comparison as a whole, with the systems that are there anyway: ours, and Dask without it."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.peers import environment
from benchmarks.peers.__main__ import chosen, main
from benchmarks.peers.catalogue import PEERS, THIS_THREAD, WORKS, Peer
from benchmarks.peers.compare import Wanted, measure, rows_of
from benchmarks.peers.report import Figure

OURS, DASK = PEERS[:2]


def test_ours_and_dask_are_measured_side_by_side(tmp_path, capsys):
    report = tmp_path / "report.json"
    small = ["--works", "layered,map", "--most", "60", "--rounds", "2", "--json", str(report)]
    assert main(["--only", "ours,raw_dask", "--places", THIS_THREAD, *small]) == 0

    header, ours, dask = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "system"
    assert ours.startswith("prefect_dask ") and dask.startswith("Dask ")
    rows = json.loads(report.read_text())["rows"]
    assert [row["why"] for row in rows] == [{}, {}]
    for row in rows:
        assert row["figures"]["layered"]["tasks"] == 60
        assert row["figures"]["map"]["tasks"] == 61
        assert len(row["figures"]["map"]["seconds"]) == 2


@pytest.mark.parametrize("peer", [OURS, DASK], ids=["ours", "dask"])
@pytest.mark.parametrize("work", ["wide", "chain", "tree", "hello"])
def test_every_kind_of_work_has_a_figure(peer, work):
    wanted = Wanted(most=30, rounds=1)
    got = measure(peer, Path(sys.executable), THIS_THREAD, work, wanted)
    assert isinstance(got, Figure), got
    assert got.value(work) > 0


def test_the_rows_of_other_systems_stay_in_the_report(tmp_path, capsys):
    options = ["--places", THIS_THREAD, "--works", "chain", "--most", "5", "--rounds", "1"]
    options += ["--json", str(tmp_path / "report.json")]
    main(["--only", "raw_dask", *options])
    main(["--only", "ours", *options])
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["title"] for row in rows] == ["prefect_dask", "Dask"]


def test_a_system_that_cannot_be_installed_says_so_in_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "CACHE", tmp_path / "environments")
    nowhere = Peer("Nowhere", "nowhere", ("here",), "nowhere", (str(tmp_path / "no-such-folder"),))
    [row] = rows_of(nowhere, Wanted(places=frozenset({"here"})))
    assert row.why["all"].startswith("not installed: ERROR: ")
    assert row.cells()[2:] == ["–"] * len(WORKS)
    assert not (tmp_path / "environments" / "nowhere").exists()


def test_a_name_that_is_not_known_ends_with_the_names_that_are():
    with pytest.raises(SystemExit, match=r"not known: prefetc; there are .*ray"):
        chosen("ray,prefetc", [peer.module for peer in PEERS])
