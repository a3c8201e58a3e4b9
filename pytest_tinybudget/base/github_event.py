"""The event that GitHub started a workflow for: a JSON file whose path the runner sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def event_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """The event's payload; empty where there is none, or what is there is no JSON object."""
    path = environment.get("GITHUB_EVENT_PATH")
    if not path or environment.get("GITHUB_ACTIONS") != "true":
        return {}
    try:
        event = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}
