"""An increase that somebody agreed to for one pull request, by setting a label on it.

The label is believed where GitHub itself says so: in the event of the run that the label started.
So it approves the commits that were there when it was set, in that run and its repetitions, and
names who set it. A later push starts a run that no label approves, and nothing is left of it
after the merge. Who may set labels is GitHub's to decide: those with triage access and more, and
not the author of a pull request from a fork.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import Acceptance


_LONGEST_NAME = 60


class LabelEvent(Struct, frozen=True):
    """What GitHub's event says of the labels of a pull request.

    Args:
        number: The pull request.
        labels: All that are on it.
        added: The one whose setting started this run, empty where something else did.
        by: The account that set it.
    """

    number: int
    labels: frozenset[str]
    added: str = ""
    by: str = ""

    def acceptance(
        self, names: Collection[str], metric: Metric, used_bytes: int
    ) -> Acceptance | None:
        """The agreement to ``used_bytes``, if the label that started the run is in ``names``."""
        if self.added not in names:
            return None
        label, by = (printable(text, limit=_LONGEST_NAME) for text in (self.added, self.by))
        approval = f"label {label!r} of pull request #{self.number}, set by {by}"
        return Acceptance(metric, used_bytes, "", None, approval)

    def stale(self, names: Collection[str]) -> str:
        """Why a label of ``names`` that is on the pull request approves nothing here, if one is."""
        there = sorted(self.labels & set(names))
        if not there or self.added in names:
            return ""
        label = printable(there[0], limit=_LONGEST_NAME)
        return (
            f"label {label!r} approved earlier commits: remove it and set it again to approve these"
        )


def label_event(environment: Mapping[str, str] = os.environ) -> LabelEvent | None:
    """The event of a pull request that this run is for; ``None`` for any other run.

    https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request
    """
    if environment.get("GITHUB_EVENT_NAME") != "pull_request":
        return None  # pull_request_target runs with the target's rights and is not for this
    from pytest_tinybudget.base.github_event import event_of

    event = event_of(environment)
    pull = event.get("pull_request")
    number = pull.get("number") if isinstance(pull, dict) else None
    if not isinstance(pull, dict) or not isinstance(number, int):
        return None
    if not environment.get("GITHUB_REF", "").startswith(f"refs/pull/{number}/"):
        return None
    listed = pull.get("labels")
    labels = frozenset(map(_name, listed if isinstance(listed, list) else []))
    added = _name(event.get("label")) if event.get("action") == "labeled" else ""
    if added not in labels:
        added = ""
    sender = event.get("sender")
    login = sender.get("login") if isinstance(sender, dict) else None
    return LabelEvent(number, labels - {""}, added, login if isinstance(login, str) else "?")


def _name(label: Any) -> str:
    name = label.get("name") if isinstance(label, dict) else None
    return name if isinstance(name, str) else ""
