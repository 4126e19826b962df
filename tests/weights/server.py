"""A server of a small file of made-up weights, for the tests of downloads."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves `content` under every path, with the faults that its attributes set; records the ranges asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/tiny.pt"
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.cut: int | None = None
        self.stall = threading.Event()
        self.stall.set()
        self.delay = 0.0
        self.knows_ranges = True
        self.wrong_range = False
        self.status: int | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        time.sleep(server.delay)
        if server.status is not None:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.knows_ranges else 0
        if start and start >= len(server.content):
            self.send_response(416)
            self.end_headers()
            return
        shown = start + 1 if server.wrong_range else start
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {shown}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - start))
        self.end_headers()
        self.wfile.write(server.content[start : server.cut])
        if not server.stall.is_set():
            self.wfile.flush()
            server.stall.wait(10)

    def log_message(self, *args):
        pass
