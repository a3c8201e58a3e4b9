"""What TFLM and its kernels are called in registries, manifests and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct


class Product(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that brings TFLM or its kernels: ``names`` of registries, GitHub repositories."""

    about: str
    names: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()


class Known(Struct, frozen=True):
    """What a name or an address stands for; ``origin`` is the repository where it is a fork."""

    product: str
    origin: str = ""


#: Owner and name of a repository, of whatever host, as the end of an address.
_REPOSITORY = re.compile(
    r"(?:[/:]|\A)(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)"
    r"(?:\.git)?(?:/(?:archive|releases|tree|zipball)/(?P<archive>\S+))?/?\Z"
)
#: Longer ones are no names.
_LONGEST = 300
_ARCHIVE = re.compile(
    r"(?:refs/(?:tags|heads)/|download/)?(?P<version>[^/\s]+?)(?:\.zip|\.tar\.gz)?\Z"
)


@cache
def products() -> Mapping[str, Product]:
    """All products by name."""
    content = (Path(__file__).parent / "data" / "products.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Product])


@cache
def _by_name() -> Mapping[str, str]:
    return {name.casefold(): key for key, product in products().items() for name in product.names}


@cache
def _by_repository() -> Mapping[str, str]:
    return {
        repository.casefold(): key
        for key, product in products().items()
        for repository in product.repositories
    }


#: A name, and its version in parentheses or after an at sign.
_PARENTHESES = re.compile(r"(?P<name>[^()]+)(?:\((?P<version>[^()]*)\))?\Z")
_AT_SIGN = re.compile(r"(?P<name>[^@=]+)(?:@(?P<version>.+))?\Z")


def split_version(text: str, *, at_sign: bool = False) -> tuple[str, str]:
    """Name and version of ``Name (1.0)``, or with ``at_sign`` of ``name @ 1.0``."""
    if len(text) > _LONGEST:
        return "", ""
    found = (_AT_SIGN if at_sign else _PARENTHESES).match(text.strip())
    return (found["name"].strip(), (found["version"] or "").strip()) if found else ("", "")


def named(name: str) -> Known | None:
    """What a library or component of this ``name`` is; ``None`` where it is none of ours."""
    product = _by_name().get(name.strip().casefold())
    return None if product is None else Known(product)


def at_address(address: str) -> Known | None:
    """What lies at a repository's ``address``, or at that of one of its archives.

    A repository of the same name but of another owner is a fork: nobody knows what it changed.
    """
    bare = address.strip().partition("#")[0].partition("?")[0]
    found = _REPOSITORY.search(bare) if len(bare) <= _LONGEST else None
    if found is None:
        return None
    repository = f"{found['owner']}/{found['name']}"
    product = _by_repository().get(repository.casefold())
    if product is not None:
        return Known(product)
    last = found["name"].casefold()
    for known, product in _by_repository().items():
        if product not in ("other", "zephyr") and known.rpartition("/")[2] == last:
            return Known("tflite-micro" if last == "tflite-micro" else product, repository)
    return None


def version_at(address: str) -> str:
    """The tag or commit in the ``address`` of an archive, or after its ``#``; else empty."""
    if len(address) > _LONGEST:
        return ""
    if "#" in address:
        return address.partition("#")[2].strip()
    found = _REPOSITORY.search(address.strip())
    archive = found and found["archive"]
    version = _ARCHIVE.search(archive) if archive else None
    return version["version"] if version else ""
