"""What MkDocs does besides: files from outside of ``docs/`` are part of the site, where they are, without copies.

The site has the repository's files at their paths, and those of ``docs/`` at its root. Links are written as they hold
in the repository, and so on its web page; here they are changed to hold in the site. A file that a page links to is a
part of the site too, whatever its kind.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
FRONT = {"README.md": "docs/index.md"}
"""Pages in whose place the site has another one."""

NO_API = {"commands", "__main__"}
"""Rooms of ``common`` that are used from the command line, which a page of its own explains."""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)(?=[)#])")
"""The path of a link in Markdown that is neither an address nor a place in the page itself."""

SECTION = re.compile(r"<!-- section of (\S+): (.+?) -->")
"""Where a section of another page is shown."""

FENCE = re.compile(r"^ {1,3}(```.*?^) {1,3}```", re.MULTILINE | re.DOTALL)
"""A block of code within a list, as far to the right as GitHub wants it and Python-Markdown does not."""

FETCHED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")
"""What makes a browser load something from another place."""

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code)")
"""What stands before a name in a docstring, and says what kind of thing it is the name of."""


def on_config(config: MkDocsConfig) -> None:
    """Lists a page for each room of the package in the navigation, where it says ``api/``."""
    pages = [{f"common.{room}": f"api/{room}.md"} for room in rooms()]
    config["nav"] = _with_api(config["nav"], pages)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds what is outside of ``docs/``: pages of the navigation, those of the API, and files that a page links to."""
    for room in rooms():
        page = f"# common.{room}\n\n::: common.{room}\n"
        files.append(File.generated(config, f"api/{room}.md", content=page))
    for path in _named(config["nav"]):
        if files.get_file_from_path(path) is None and (ROOT / path).is_file():
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    pages = [file for file in files if file.src_uri.endswith(".md") and not file.src_uri.startswith("api/")]
    for page in pages:
        source = repository_path(page.src_uri)
        texts = {source: page.content_string} | {name: read(name) for name, _ in SECTION.findall(page.content_string)}
        for name, text in texts.items():
            for target in targets(text, name):
                site = site_path(target)
                if files.get_file_from_path(site) is None and (ROOT / target).is_file():
                    if target.endswith(".md"):
                        raise PluginError(f"{name} links to the page {target}: name it in mkdocs.yml under nav.")
                    files.append(File.generated(config, site, abs_src_path=str(ROOT / target)))


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Shows sections of other pages, and makes all links hold in the site."""
    source = repository_path(page.file.src_uri)

    def section(marker: re.Match[str]) -> str:
        return relinked(section_of(read(marker[1]), marker[2]), marker[1], page.file.src_uri)

    return SECTION.sub(section, FENCE.sub(_indented, relinked(markdown, source, page.file.src_uri)))


def on_page_content(html: str, *, page: Page, **_: Any) -> str:
    """Leaves out, in docstrings, what says of which kind a name is."""
    return ROLE.sub("", html) if page.file.src_uri.startswith("api/") else html


def on_post_page(output: str, *, page: Page, **_: Any) -> None:
    """Refuses pages that load something from another place, so that the site is complete without a network."""
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from another place: {found[0]}")


def rooms() -> list[str]:
    """Modules and packages directly in ``common`` that have a page of the API."""
    inside = (ROOT / "common").iterdir()
    found = {path.stem for path in inside if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return sorted(found - NO_API - {"__init__"})


def read(path: str) -> str:
    """A page of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def repository_path(site: str) -> str:
    """Where the source of a file of the site is in the repository."""
    inside = DOCS + site
    return inside if (ROOT / inside).is_file() else site


def site_path(path: str) -> str:
    """Where a file of the repository is in the site, in terms of sources."""
    return FRONT.get(path, path).removeprefix(DOCS)


def targets(text: str, path: str) -> Iterator[str]:
    """Files of the repository to which a page links, by their paths in it."""
    for link in LINK.findall(text):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def relinked(text: str, path: str, site: str) -> str:
    """A page's text with links that hold in the site.

    Args:
        text: The text.
        path: The page in whose place in the repository its links hold.
        site: Source path, in the site, of the page that shows the text.
    """

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1]))
        return posixpath.relpath(site_path(target), posixpath.dirname(site) or ".")

    return LINK.sub(moved, text)


def section_of(text: str, title: str) -> str:
    """The section of a page below a heading of the second level, without the heading.

    Raises:
        PluginError: If the page has no such section.
    """
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise PluginError(f"expected a section ## {title}, found none.")
    return found[1].strip()


def _indented(block: re.Match[str]) -> str:
    lines = block[0].split("\n")
    width = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(f"    {line[width:]}" if line.strip() else line for line in lines)


def _with_api(nav: list[Any], pages: list[dict[str, str]]) -> list[Any]:
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            ((title, content),) = entry.items()
            if isinstance(content, list):
                content = _with_api(content, pages)
            found.append({title: pages if content == "api/" else content})
        else:
            found.append(entry)
    return found


def _named(nav: Any) -> Iterator[str]:
    """Paths of all pages of the navigation."""
    if isinstance(nav, str):
        yield nav
    for entry in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        yield from _named(entry)
