"""Reports, one file a format, all from the results."""

from __future__ import annotations

from collections.abc import Mapping


def is_github_step(environment: Mapping[str, str]) -> bool:
    """Whether this process is a step of a GitHub Actions job."""
    return environment.get("GITHUB_ACTIONS") == "true"
