"""What the README shows is what happens: its commands are run, and their output is held against what it prints.

python tests/test_readme.py            prints the real output of every block that differs
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from conftest import PROJECT, infimed_data

README = (PROJECT / "README.md").read_text()
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DIGEST = re.compile(r"\b[0-9a-f]{12}\b(?!\S*\.(?:jpg|png))")
_PROGRESS = re.compile(r"\d/s +\d+:\d\d left")


def shown() -> Iterator[tuple[str, list[str]]]:
    """(command, output) of every command in the README's console blocks."""
    for block in _BLOCK.findall(README):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip().split("\n")
            yield command, output


def folder_for_commands(folder: Path) -> Path:
    """A folder in which the README's commands find what they name."""
    for name in ("manifests", "sample_data", "tests"):
        (folder / name).symlink_to(PROJECT / name)
    return folder


def output_of(command: str, cwd: Path, build: Path | None) -> list[str]:
    """Lines that a command of the README prints, on both streams, without progress and without blank ends."""
    words = shlex.split(command)
    assert words[0] == "infimed-data", f"{command}: not a command of this project"
    given = [word.replace("builds/demo/DIGEST", str(build)) for word in words[1:]]
    done = infimed_data(*given, cwd=cwd, COLUMNS="100")  # as wide as without a terminal
    assert done.returncode == 0, f"{command}: {done.stderr}"
    lines = (done.stderr + done.stdout).split("\n")
    return [line.rstrip() for line in lines if not _PROGRESS.search(line)]


def differs(expected: list[str], found: list[str]) -> str | None:
    """The first line of `expected` that `found` does not have in its place; a line `...` stands for any lines."""
    rest = [_DIGEST.sub("DIGEST", line) for line in found]
    anywhere = False
    for line in (_DIGEST.sub("DIGEST", line.rstrip()) for line in expected):
        if line == "...":
            anywhere = True
            continue
        if line not in (rest if anywhere else rest[:1]):
            return line
        rest = rest[rest.index(line) + 1 :]
        anywhere = False
    return None if anywhere or not any(rest) else rest[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run."""
    return folder_for_commands(tmp_path_factory.mktemp("readme"))


def test_the_commands_print_what_the_readme_says(place: Path) -> None:
    build, wrong = None, []
    for command, expected in shown():
        found = output_of(command, place, build)
        if command.startswith("infimed-data build "):
            build = place / [line for line in found if line][-1]
        if line := differs(expected, found):
            wrong.append(f"{command}: {line!r}")
    assert build is not None and not wrong, "\n".join(wrong)


def test_a_wrong_line_is_noticed() -> None:
    assert differs(["a", "...", "c"], ["a", "b", "c"]) is None
    assert differs(["a", "..."], ["a", "b", "c"]) is None
    assert differs(["a", "c"], ["a", "b", "c"]) == "c"
    assert differs(["a", "...", "d"], ["a", "b", "c"]) == "d"
    assert differs(["a"], ["a", "b"]) == "b"
    assert differs(["builds/demo/0123456789ab"], ["builds/demo/ba9876543210"]) is None


def test_the_file_tree_names_every_part_of_the_package() -> None:
    tree = README.split("## Files", 1)[1]
    names = {path.name for path in (PROJECT / "infimed_data").iterdir() if path.suffix == ".py" or path.is_dir()}
    names -= {"__init__.py", "__pycache__"}
    assert not [name for name in sorted(names) if name not in tree]


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links and not [link for link in links if "://" not in link and not (PROJECT / link).exists()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        where, made = folder_for_commands(Path(name)), None
        for asked, said in shown():
            real = output_of(asked, where, made)
            if asked.startswith("infimed-data build "):
                made = where / [line for line in real if line][-1]
            if (fault := differs(said, real)) is not None:
                print(f"$ {asked}   # first difference: {fault!r}", *real, sep="\n")
