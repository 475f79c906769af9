"""The sessions on the page of the command line are what one sees when one types them."""

import re
import subprocess
import sys
from pathlib import Path

from tests.house.source import ROOT

PAGE = ROOT / "docs" / "command-line.md"

#: What differs from run to run, and what stands for it here.
UNSTEADY = [
    (r"\b[0-9a-f]{12}\b", "RUN"),
    (r"halves-[0-9a-f]{8}", "NAME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r" *\d+\.\d s", " SECONDS"),
]


def steady(text: str, home: Path) -> str:
    text = text.replace(str(home), "~/.prefect_dask")
    for pattern, word in UNSTEADY:
        text = re.sub(pattern, word, text)
    # The widths of columns follow from what is in them.
    return "\n".join(re.sub(r"  +", "  ", line).rstrip() for line in text.strip().splitlines())


def sessions() -> list[tuple[str, str]]:
    """Each command of the page, and what it prints."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


def test_each_command_prints_what_the_page_says(program):
    [flow_file] = re.findall(
        r"^```python\n# halves.py\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S
    )
    program.write("halves.py", flow_file)
    bin = program.folder / "bin"
    bin.mkdir()
    for name, arguments in (("prefect-dask", "-m prefect_dask.cli"), ("python", "")):
        script = bin / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    variables = program.variables({"PATH": f"{bin}:/usr/bin:/bin"})
    run_id = ""
    assert len(sessions()) > 8

    for command, wanted in sessions():
        # The page has an id of its own.
        done = subprocess.run(
            command.replace("1f0c", run_id[:12]),
            shell=True,
            cwd=program.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=50,
        )
        found = re.search(r"runs show ([0-9a-f]{12})", done.stdout)
        run_id = found[1] if found else run_id
        printed, wanted = steady(done.stdout, program.home), steady(wanted, program.home)
        if wanted.endswith("…"):
            printed, wanted = printed[: len(wanted) - 1], wanted[:-1]
        assert printed == wanted, f"$ {command}\n{done.stderr}"
