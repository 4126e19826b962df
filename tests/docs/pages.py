"""The documentation's pages, their blocks of commands, and what each block says of being run.

A block is run as it stands by ``test_run.py`` if its page is one of ``RUN`` and no marker says otherwise. A marker is
an HTML comment in the line before the block (blank lines apart), or below the title for all blocks that have none of
their own:

    <!-- not run: why -->              <!-- page not run: why -->
    <!-- run by: tests/file.py -->     <!-- page run by: tests/file.py -->

"Run by" names tests that run the same commands, on phantoms and with small sizes.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tests.bundles.workflows import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "bundles/*/docs/*.md", "common/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
RUN = ("docs/first_hour.md", "docs/own_scans.md")
"""Pages whose blocks are run as they stand."""

MARKER = re.compile(r"<!-- (page )?(not run|run by): (.+?) -->")
FENCE = re.compile(r"^ *```(\w*)$")
SHELL = ("bash", "sh", "shell", "console")
PROGRAM = re.compile(r"^(?:\w+=\S* )*(?:python|pip|nox|torchrun|git|curl|cd|mkdir|cp|sbatch|kubectl|sha256sum)\b")
SEPARATORS = ("&&", "||", "|", ";")


@dataclass(frozen=True)
class Block:
    """Commands that stand together.

    Attributes:
        page: The page, from the repository's folder.
        line: Number of its first line.
        text: The block as it stands, without indentation.
        marker: What is said of it, as ``("not run" or "run by", why or where)``; None if nothing is.
    """

    page: str
    line: int
    text: str
    marker: tuple[str, str] | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command."""
        found: list[list[str]] = []
        for line in self.text.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in shlex.split(_with_options(line), comments=True):
                if word in SEPARATORS:
                    found.append(words)
                    words = []
                else:
                    words.append(word)
            found.append(words)
        return [words for words in found if words]


def blocks(page: str) -> list[Block]:
    """The blocks of commands of a page, those that are indented included."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    whole = [match for line in lines[:8] if (match := MARKER.fullmatch(line)) and match[1]]
    everywhere = (whole[0][2], whole[0][3]) if whole else None
    found, number = [], 0
    while number < len(lines):
        start = number
        if fence := FENCE.match(lines[number]):
            number = end = next(it for it in range(start + 1, len(lines)) if lines[it].strip() == "```")
            inside, shell = lines[start + 1 : end], fence[1] in SHELL
        elif lines[number].startswith("    ") and not lines[max(number - 1, 0)].strip():
            while number + 1 < len(lines) and lines[number + 1].startswith("    "):
                number += 1
            inside = lines[start : number + 1]
            shell = PROGRAM.match(inside[0].strip()) is not None
        else:
            inside, shell = [], False
        if shell:
            width = min(len(line) - len(line.lstrip()) for line in inside if line.strip())
            text = "\n".join(line[width:] for line in inside)
            found.append(Block(page, start + 1, text, _marker(lines, start) or everywhere))
        number += 1
    return found


def inline_commands(page: str) -> list[tuple[str, list[str]]]:
    """Commands within sentences and tables: where they are, and their words; those that are cut short are left out."""
    found = []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("    "):
            continue
        for text in re.findall(r"`((?:python|nox|torchrun) [^`]+)`", line):
            if "…" not in text and not re.search(r"\b(COMMAND|NAME)\b", text):
                found.append((f"{page}:{number}", shlex.split(_with_options(text))))
    return found


def _marker(lines: list[str], start: int) -> tuple[str, str] | None:
    before = next((line.strip() for line in reversed(lines[:start]) if line.strip()), "")
    match = MARKER.fullmatch(before)
    return (match[2], match[3]) if match and not match[1] else None


def _with_options(line: str) -> str:
    """A line with what stands in brackets because it may be left out."""
    return re.sub(r"(?<= )\[(--[^\]]*(?:\[[^\]]*\])?[^\]]*)\]", r"\1", line)


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]
