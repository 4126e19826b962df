"""What a page or a figure says, for tests."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from matplotlib.figure import Figure

from common.annotations import LedgerEntry
from common.report import RunRecord, Story, page
from common.report.drawing import svg


class Text(HTMLParser):
    """Cells of the tables, text, section titles, and every address."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.titles: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.identifiers: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        self._in = tag if tag not in ("span", "code", "small", "g", "use", "path") else self._in
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.titles.append("")
        self.addresses += [str(value) for name, value in attrs if name in ("href", "src", "xlink:href")]
        self.identifiers += [str(value) for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "style"):
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("td", "th"):
            self.rows[-1][-1] += data
        elif self._in in ("h1", "h2", "h3"):
            self.titles[-1] += data
            self._in = ""
        if self._in != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def entry(scan: str, number: int, value: float | None = None) -> LedgerEntry:
    """A scan that was annotated in three slices, in the round of that number."""
    return LedgerEntry(
        scan,
        number,
        100 * number,
        "her" if number else "random",
        value,
        {"axial": 11, "coronal": 12, "sagittal": 13},
        1234,
        "folder",
        "2026-01-02T03:04:05+00:00",
    )


def section(run: RunRecord, title: str) -> str:
    """The HTML of the section with this title on a page about one run; empty if there is none."""
    sections = re.findall(r"<section>.*?</section>", page(Story("Title", (run,))), flags=re.DOTALL)
    return "".join(part for part in sections if f"<h2>{title}</h2>" in part)


def texts(figure: Figure) -> list[str]:
    """All texts of a figure as its SVG has them."""
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg(figure, "name"))]
