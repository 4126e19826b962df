"""Repositories that are packed, and a server of files."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.packing import pack
from tests.packing.repositories import copy_of_the_project, toy_repository


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Serves a folder on this computer and returns its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(folder: Path, handler=Quiet) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A small repository, packed without its wheel."""

    def no_wheel(root, folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "toy-0.1.0-py3-none-any.whl").write_bytes(b"wheel")
        return folder / "toy-0.1.0-py3-none-any.whl"

    monkeypatch.setattr("common.packing.packed.build_wheel", no_wheel)
    return toy_repository(tmp_path / "repository")


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of this project as a repository."""
    return copy_of_the_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def packed(project, tmp_path_factory):
    """All of this project's bundles without weights, and its wheel."""
    return pack(["all"], tmp_path_factory.mktemp("dist"), project, repository="somebody/bundles")
