"""From what a measurement wrote to the table."""

import json

from benchmarks.peers.catalogue import PEERS, WORKS
from benchmarks.peers.report import Figure, Row, as_markdown, as_text, read, read_figure, write

FAST = Row("Fast", "1.0", "here", figures={"wide": Figure(1_000, [0.003, 0.001, 0.002])})
ABSENT = Row("Absent", "", "nowhere", why={"all": "not installed: no such package"})
PARTIAL = Row(
    "Partial",
    "2.0",
    "here",
    figures={"work": Figure(65, [3.2]), "hello": Figure(1, [12.5])},
    why={"tree": "not over within 240 s"},
)


def lines_of(path, seconds):
    path.write_text("".join(json.dumps({"tasks": 10, "seconds": s}) + "\n" for s in seconds))


def test_the_round_that_warms_up_does_not_count(tmp_path):
    lines_of(tmp_path / "rounds", [9.0, 1.0, 2.0])
    assert read_figure(tmp_path / "rounds") == Figure(10, [1.0, 2.0])


def test_a_measurement_that_did_not_get_past_warming_up_has_no_figure(tmp_path):
    lines_of(tmp_path / "rounds", [9.0])
    assert read_figure(tmp_path / "rounds") is None
    assert read_figure(tmp_path / "never begun") is None


def test_a_figure_has_the_unit_of_its_column():
    assert FAST.figures["wide"].value("wide") == 2.0
    assert PARTIAL.figures["work"].value("work") == 50.0
    assert PARTIAL.figures["hello"].value("hello") == 12.5


def test_the_table_has_a_dash_and_its_reason_where_there_is_no_figure():
    header, fast, absent, partial, _, *notes = as_text([FAST, ABSENT, PARTIAL]).splitlines()
    assert header.split()[:4] == ["system", "where", "wide,", "µs"]
    assert fast.split() == ["Fast", "1.0", "here", "2.00"]
    assert absent.split() == ["Absent", "nowhere", *["–"] * len(WORKS)]
    assert partial.split() == ["Partial", "2.0", "here", "–", "50.0", "12.5"]
    assert notes == [
        "Absent, nowhere: not installed: no such package",
        "Partial, here, tree: not over within 240 s",
    ]


def test_markdown_has_the_same_cells_and_notes():
    header, rule, fast, *_, note = as_markdown([FAST, PARTIAL]).splitlines()
    assert header.count("|") == rule.count("|") == fast.count("|") == len(WORKS) + 3
    assert fast.startswith("| Fast 1.0 | here | 2.00 |")
    assert note == "- Partial, here, tree: not over within 240 s"


def test_a_report_is_read_as_it_was_written(tmp_path):
    write(tmp_path / "report.json", [FAST, ABSENT, PARTIAL], rounds=3)
    assert read(tmp_path / "report.json") == [FAST, ABSENT, PARTIAL]
    document = json.loads((tmp_path / "report.json").read_text())
    assert {"taken", "commit", "system", "cores", "python", "rounds"} <= set(document)
    assert "| Fast 1.0 |" in (tmp_path / "report.md").read_text()


def test_there_is_no_report_before_the_first(tmp_path):
    assert read(tmp_path / "report.json") == []


def test_what_is_installed_is_pinned():
    for peer in PEERS:
        wanted = [each for each in peer.requirements if each.startswith(f"{peer.package}==")]
        assert wanted or not peer.requirements, peer.title
