"""A stand-in for GitHub's API, on this machine: pull requests, comments, and what goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit


class GitHub:
    """As much of GitHub's API as a comment needs, with pages of a hundred."""

    def __init__(self) -> None:
        self.pulls: list[Any] = []
        self.comments: list[Any] = []
        self.writes: list[tuple[str, str, str]] = []
        #: Statuses, headers and messages of the next answers, before they become 200.
        self.refusals: list[tuple[int, dict[str, str], str]] = []
        #: Whether what is refused is carried out all the same.
        self.carries_out = False
        #: What a run that used it printed.
        self.log = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.refusals and self._refused():
                    return
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                entries = outer.pulls if parts.path.endswith("/pulls") else outer.comments
                if "head" in query:
                    entries = [
                        each for each in entries if each["head"]["label"] == query["head"][0]
                    ]
                page, size = int(query["page"][0]), int(query["per_page"][0])
                self._answer(entries[(page - 1) * size : page * size])

            def do_POST(self) -> None:
                self._write()

            def do_PATCH(self) -> None:
                self._write()

            def _write(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
                refused = bool(outer.refusals) and self._refused()
                if refused and not outer.carries_out:
                    return
                assert self.headers["Authorization"] == "Bearer secret"
                outer.writes.append((self.command, self.path, body))
                if self.command == "POST":
                    outer.add(body)
                else:
                    number = int(self.path.rpartition("/")[2])
                    next(each for each in outer.comments if each["id"] == number)["body"] = body
                if not refused:
                    self._answer({})

            def _refused(self) -> bool:
                status, headers, message = outer.refusals.pop(0)
                if status == 200:
                    return False
                self._answer({"message": message}, status, headers)
                return True

            def _answer(
                self, content: Any, status: int = 200, headers: dict[str, str] | None = None
            ) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, body: str, author: str = "github-actions[bot]") -> None:
        self.comments.append(
            {"id": len(self.comments) + 1, "body": body, "user": {"login": author}}
        )


@contextmanager
def serving() -> Iterator[GitHub]:
    """The stand-in, which answers for as long as the block lasts."""
    fake = GitHub()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()
        thread.join()
