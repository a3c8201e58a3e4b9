"""Keeps one comment on a pull request: posted once, updated in place, silent when nothing changed.

Runs in a workflow that the gate's workflow triggers, without the pull request's code. The text is
data: it is posted, never run. What goes wrong is a warning, because the summary of the gate's own
run has the same text.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any


#: GitHub turns down a longer body.
_LIMIT_CHARACTERS = 65_536

#: Takes the place of an earlier text once there is nothing to say any more.
_NOTHING = (
    "Memory budgets: this change has nothing left to report. "
    "All sizes are in the summary of the run."
)

_PAGE = 100
_SECONDS = 30


def main() -> int:
    """Post the file that is named on the command line; always 0, or the comment would gate."""
    try:
        print(_run(Path(sys.argv[1]).read_text("utf-8"), os.environ))
    except (OSError, KeyError, ValueError) as error:
        # Includes what urllib raises: the network, the API's refusal, an answer that is no JSON.
        text = " ".join(str(error).split()).replace("%", "%25")
        print(f"::warning title=memory budgets::no comment: {text}")
    return 0


def _run(text: str, environment: Any) -> str:
    """Post, update or leave the comment; what was done, in words."""
    event = json.loads(Path(environment["GITHUB_EVENT_PATH"]).read_text("utf-8"))
    api = _Api(environment)
    number = _pull_request(event, api)
    if number is None:
        return "no comment: the pull request has moved on or is closed"
    key = re.sub(r"[^A-Za-z0-9.-]", "", environment.get("KEY", "")) or "default"
    marker = f"<!-- pytest-tinybudget {key} -->"
    own = _own_comment(api, number, marker, environment["AUTHOR"])
    if not text.strip() and own is None:
        return "nothing to say"
    body = f"{marker}\n{text.strip() or _NOTHING}\n"
    if len(body) > _LIMIT_CHARACTERS:
        raise ValueError(f"the text has more than {_LIMIT_CHARACTERS} characters")
    if own is None:
        api.call("POST", f"issues/{number}/comments", {"body": body})
        return "posted"
    if own["body"].replace("\r\n", "\n").strip() == body.strip():
        return "unchanged"
    api.call("PATCH", f"issues/comments/{own['id']}", {"body": body})
    return "updated"


class _Api:
    """GitHub's REST API for one repository."""

    def __init__(self, environment: Any) -> None:
        repository = urllib.parse.quote(environment["GITHUB_REPOSITORY"])
        self._root = f"{environment['GITHUB_API_URL']}/repos/{repository}/"
        self._token = environment["TOKEN"]

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """The decoded answer."""
        request = urllib.request.Request(  # noqa: S310 - the runner says which API it is
            self._root + path,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            refusal.close()  # it holds the connection
            raise

    def pages(self, path: str) -> Iterator[Any]:
        """Every entry of a listing, however many pages it has."""
        number = 1
        while True:
            separator = "&" if "?" in path else "?"
            page = self.call("GET", f"{path}{separator}per_page={_PAGE}&page={number}")
            yield from page
            if len(page) < _PAGE:
                return
            number += 1


def _pull_request(event: Any, api: _Api) -> int | None:
    """The open pull request that the run was for.

    Of a fork's run GitHub does not name it, so it is looked up by its branch; its commit must be
    the one that was measured. What the run itself wrote is not asked: it may claim any number.
    """
    if "pull_request" in event:
        return int(event["pull_request"]["number"])
    run = event["workflow_run"]
    head = urllib.parse.quote(f"{run['head_repository']['owner']['login']}:{run['head_branch']}")
    for pull in api.pages(f"pulls?state=open&head={head}"):
        if pull["head"]["sha"] == run["head_sha"]:
            return int(pull["number"])
    return None


def _own_comment(api: _Api, number: int, marker: str, author: str) -> Any:
    """The first comment by ``author`` that begins with ``marker``; ``None`` without one."""
    for comment in api.pages(f"issues/{number}/comments"):
        login = (comment.get("user") or {}).get("login")
        if login == author and (comment.get("body") or "").startswith(marker):
            return comment
    return None


if __name__ == "__main__":
    sys.exit(main())
