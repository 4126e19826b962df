"""The files that GitHub and others read: they are well formed, and agree with what they speak of."""

from __future__ import annotations

import re

import pytest
import yaml

import common
from tests.bundles.workflows import ROOT


def read(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_citation():
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors", "license", "references"}
    assert str(citation["version"]) == common.__version__
    for work in (citation, *citation["references"]):
        assert work["title"] and work["authors"]
        assert all(author.keys() & {"family-names", "name"} for author in work["authors"])
    for reference in citation["references"]:
        assert reference.keys() >= {"type", "year"} and reference.keys() & {"doi", "url"}


def test_the_workflow_runs_what_there_is():
    workflow = read(".github/workflows/ci.yml")
    check, release = workflow["jobs"]["check"], workflow["jobs"]["release"]
    assert ".ci/run" in [step.get("run") for step in check["steps"]]
    assert workflow[True].keys() == {"push", "pull_request"}  # YAML reads the word on as true
    assert release["if"] == "github.ref_type == 'tag'" and release["needs"] == "check"
    assert workflow["permissions"] == {"contents": "read"} and release["permissions"] == {"contents": "write"}
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    runs = " ".join(step.get("run", "") for job in (check, release) for step in job["steps"])
    named = re.findall(r"nox -s (\w+)", runs)
    assert named == ["docs", "release"] and set(named) <= set(sessions)
    assert "dist/bundles/*" in runs and [step["with"]["path"] for step in release["steps"] if "artifact" in str(step)]


def test_what_every_change_must_pass_are_sessions():
    sessions = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    named = " ".join(re.findall(r"nox -s ([a-z_ ]+[a-z])", (ROOT / ".ci/run").read_text())).split()
    assert sorted(named) == ["collaborator", "label_tests", "lint", "tests", "typecheck"]
    assert set(named) <= set(sessions)
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert all(re.search(rf"`[a-z -]*\b{name}\b[a-z_ -]*`", text) for name in named), page


def test_dependabot_knows_what_is_pinned():
    updates = {entry["package-ecosystem"] for entry in read(".github/dependabot.yml")["updates"]}
    assert updates == {"pip", "github-actions"}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "docs/publishing.md"])
def test_links_lead_somewhere(name):
    page = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert links and all((page.parent / link).exists() for link in links)
