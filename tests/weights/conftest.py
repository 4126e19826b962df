from __future__ import annotations

import hashlib
import threading

import pytest

from common.weights import CATALOGUE, Weights
from tests.weights.server import CONTENT, Server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stall.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_EFFICIENT_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def tiny(server, folder, monkeypatch):
    weights = Weights(
        "tiny",
        "tiny.pt",
        server.url,
        "CC0-1.0",
        "made-up weights of the tests",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setitem(CATALOGUE, "tiny", weights)
    return weights
