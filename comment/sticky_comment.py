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
import time
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

#: How often a request is sent that GitHub does not answer, and the seconds before the second time;
#: each further wait is twice as long.
_TRIES, _FIRST_WAIT = 4, 2.0

#: The longest that the job waits for a rate limit to end, seconds: GitHub's may last an hour.
_LONGEST_WAIT = 120.0

#: The wait that GitHub asks for where a rate limit names none, seconds:
#: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
_UNNAMED_WAIT = 60.0

#: What to do about an answer, by its status.
_ADVICE = {
    401: "the token is not valid",
    403: "the token may not comment: the job needs pull-requests: write, and a run for a fork has "
    "a token that only reads, so the comment belongs in a workflow_run workflow",
    404: "the token does not reach this repository or pull request",
}

_LONGEST_MESSAGE = 200


class _UnansweredError(OSError):
    """A request that GitHub did not answer; it may have been carried out all the same."""


def main() -> int:
    """Post the file that is named on the command line; always 0, or the comment would gate."""
    try:
        print(_run(Path(sys.argv[1]).read_text("utf-8"), os.environ))
    except (OSError, KeyError, ValueError) as error:
        # Includes the network, the API's refusal, and an answer that is no JSON.
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
    body = f"{marker}\n{text.strip() or _NOTHING}\n"
    if len(body) > _LIMIT_CHARACTERS:
        raise ValueError(f"the text has more than {_LIMIT_CHARACTERS} characters")
    for wait in (*_waits(), None):
        own = _own_comment(api, number, marker, environment["AUTHOR"])
        if not text.strip() and own is None:
            return "nothing to say"
        try:
            return _written(api, number, own, body)
        except _UnansweredError:
            if wait is None:
                raise
            _sleep(wait)  # and look first whether it is there
    raise AssertionError("the last round returns or raises")


def _written(api: _Api, number: int, own: Any, body: str) -> str:
    """Put ``body`` in the place of the comment ``own``, or post it; what was done."""
    if own is None:
        api.send("POST", f"issues/{number}/comments", {"body": body})
        return "posted"
    if own["body"].replace("\r\n", "\n").strip() == body.strip():
        return "unchanged"
    api.send("PATCH", f"issues/comments/{own['id']}", {"body": body})
    return "updated"


class _Api:
    """GitHub's REST API for one repository."""

    def __init__(self, environment: Any) -> None:
        repository = urllib.parse.quote(environment["GITHUB_REPOSITORY"])
        self._root = f"{environment['GITHUB_API_URL']}/repos/{repository}/"
        self._token = environment["TOKEN"]
        self._left = _LONGEST_WAIT

    def get(self, path: str) -> Any:
        """The decoded answer to a question, which may be asked more than once."""
        for wait in _waits():
            try:
                return self.send("GET", path)
            except _UnansweredError:  # noqa: PERF203 - a request takes far longer
                _sleep(wait)
        return self.send("GET", path)

    def send(self, method: str, path: str, content: Any = None) -> Any:
        """The decoded answer; after a rate limit, which GitHub applies before it does anything."""
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
        while True:
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as refusal:  # noqa: PERF203 - as above
                message = _message(refusal)
                refusal.close()  # it holds the connection
                self._wait_for_limit(refusal, message)
            except OSError as error:
                raise _UnansweredError(str(error)) from None

    def _wait_for_limit(self, refusal: urllib.error.HTTPError, message: str) -> None:
        """Return when a rate limit is over, if that is soon; else raise what GitHub said."""
        said = f"HTTP Error {refusal.code}: {message or refusal.reason}"
        if refusal.code >= 500:
            raise _UnansweredError(said)
        wait = _limit_seconds(refusal, message)
        if wait is None:
            advice = _ADVICE.get(refusal.code)
            raise OSError(f"{said} ({advice})" if advice else said)
        if wait > self._left:
            raise OSError(f"{said} (GitHub's rate limit lasts {wait:.0f} s: run the job again)")
        self._left -= wait
        _sleep(wait)

    def pages(self, path: str) -> Iterator[Any]:
        """Every entry of a listing, however many pages it has."""
        number = 1
        while True:
            separator = "&" if "?" in path else "?"
            page = self.get(f"{path}{separator}per_page={_PAGE}&page={number}")
            yield from page
            if len(page) < _PAGE:
                return
            number += 1


def _waits() -> tuple[float, ...]:
    """The seconds between the tries of a request."""
    return tuple(_FIRST_WAIT * 2**number for number in range(_TRIES - 1))


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _message(refusal: urllib.error.HTTPError) -> str:
    """What GitHub says of a refusal; empty where that cannot be read."""
    try:
        found = json.loads(refusal.read(10_000))["message"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(found)[:_LONGEST_MESSAGE]


def _limit_seconds(refusal: urllib.error.HTTPError, message: str) -> float | None:
    """How long a rate limit lasts; ``None`` where the refusal is none.

    https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if refusal.code not in (403, 429):
        return None
    after = refusal.headers.get("Retry-After", "")
    if after.isdecimal():
        return float(after) or 1.0
    reset = refusal.headers.get("X-RateLimit-Reset", "")
    if refusal.headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        return max(1.0, float(reset) - time.time())
    limited = refusal.code == 429 or "rate limit" in message.lower()
    return _UNNAMED_WAIT if limited else None


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
