"""The runtimes that a declaration may name without declaring them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pytest_tinybudget.base.lazy_mapping import LazyMapping
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.runtimes.distributions import Distribution
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import named
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime


@cache
def shipped_runtimes() -> Mapping[str, DeclaredRuntime]:
    """The runtimes that come with the package, then every release of a distribution, by name.

    A distribution's are made when they are asked for.
    """
    shipped: dict[str, Runtime | Distribution] = {**RUNTIMES, **distributions()}
    return LazyMapping(shipped, _declared)


def _declared(name: str, shipped: Runtime | Distribution) -> DeclaredRuntime:
    if isinstance(shipped, Runtime):
        return DeclaredRuntime(name, shipped)
    by_core = {core: made for core in shipped.cores if (made := shipped.on(core)) is not None}
    return DeclaredRuntime(name, shipped.usual, by_core=by_core)


def called(name: str) -> str:
    """``name`` as ``shipped_runtimes`` has it: releases have other names, such as their commits."""
    release = named(name)
    return name if release is None else release.full_name
