"""Every message that the page of troubleshooting quotes is one that the code has."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest

from tests.bundles.workflows import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
GAP = "…"


def quoted() -> list[str]:
    """The messages in the first columns of the tables."""
    rows = re.findall(r"^\| `(.+?)` \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [row.replace("``", "`") for row in rows]


def text_of(node: ast.AST) -> str | None:
    """A string of the code as it is seen, with gaps where it differs; None if it is none."""
    if isinstance(node, ast.Constant):
        return re.sub("%[a-z]", GAP, node.value) if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None


def texts_of(content: Any) -> list[str]:
    if isinstance(content, dict | list):
        return [text for it in (content.values() if isinstance(content, dict) else content) for text in texts_of(it)]
    return [content] if isinstance(content, str) else []


@pytest.fixture(scope="module")
def known() -> str:
    """All strings of the package and of the bundles' configs, one per line."""
    found: list[str] = []
    for path in (ROOT / "common").rglob("*.py"):
        found += [text for node in ast.walk(ast.parse(path.read_text())) if (text := text_of(node))]
    for path in (ROOT / "bundles").glob("*/configs/*.json"):
        found += texts_of(json.loads(path.read_text()))
    return "\n".join(text.replace("\n", " ") for text in found)


def pattern(message: str) -> str:
    return ".*".join(re.escape(part) for part in message.split(GAP))


@pytest.mark.parametrize("message", quoted())
def test_the_message_is_in_the_code(message: str, known: str) -> None:
    words = [word for part in message.split(GAP) for word in part.split()]
    assert len(words) >= 3, "too few words to find it by"
    assert re.search(pattern(message), known), message


def test_there_are_messages_enough() -> None:
    assert len(set(quoted())) == len(quoted()) >= 40


def test_messages_that_are_not_there(known: str) -> None:
    assert not re.search(pattern("budget must lie within 1..…, got …"), known)
