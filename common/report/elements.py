"""Pieces of HTML that the page's sections are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from matplotlib.figure import Figure

from common.report import figures

Cell = str | tuple[str, str] | tuple[str, str, str]
"""Text; or markup to stand before the text; or that and the cell's class."""


def figure(drawn: Figure, name: str, caption: str) -> str:
    """A figure above its caption, which is text.

    Args:
        drawn: with the palette ``PAGE``.
        name: unique in the page; letters, digits and hyphens.
        caption: what it shows.
    """
    return framed(drawn, name, escape(caption))


def framed(drawn: Figure, name: str, caption_html: str) -> str:
    """A figure above its caption, which is HTML."""
    return f'<figure id="{name}">\n{figures.svg(drawn, name)}\n<figcaption>{caption_html}</figcaption>\n</figure>\n'


def table(
    names: Sequence[str], rows: Iterable[Sequence[Cell]], *, text: Sequence[int] = (), last: Sequence[str] = ()
) -> str:
    """A table, its numbers to the right.

    Args:
        names: of the columns; the first holds text.
        rows: a cell a column.
        text: places of further columns that hold text.
        last: a row of means, if there is one.
    """

    def cell(content: Cell, place: int) -> str:
        before, words, style = ("", content, "") if isinstance(content, str) else (*content, "")[:3]
        style = " ".join(filter(None, ("text" if place in text else "", style)))
        return f"<td{f' class={style!r}' if style else ''}>{before}{escape(words)}</td>"

    head = "".join(
        f"<th{' class=text' if place in text else ''}>{escape(name)}</th>" for place, name in enumerate(names)
    )
    body = "".join(f"<tr>{''.join(cell(content, place) for place, content in enumerate(row))}</tr>\n" for row in rows)
    if last:
        body += f'<tr class="mean">{"".join(cell(content, place) for place, content in enumerate(last))}</tr>\n'
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n'


def folded(summary: str, html: str) -> str:
    """HTML that is shown on a click on its summary, which is text."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{html}</details>\n"


def count(number: int, noun: str) -> str:
    """``1 scan``, ``2 scans``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
