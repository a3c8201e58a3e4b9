"""How models are converted: the keys of a section, and where they are silent, of the defaults."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from pytest_tinybudget.convert.settings import RANDOM
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import exists
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.context import siblings
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.schema import DefaultsTable
from pytest_tinybudget.declaration.schema import ModelTable


def conversion(
    context: Context, table: DefaultsTable | ModelTable, otherwise: Conversion, keys: KeyPath
) -> Conversion:
    """What ``table`` says of a conversion, and what it leaves out as it is ``otherwise``."""
    memory = context.size(table.conversion_memory, *keys, "conversion_memory")
    settings = replace(
        otherwise,
        representative_data=first(table.representative_data, otherwise.representative_data),
        custom_objects=first(table.custom_objects, otherwise.custom_objects),
        strip=first(table.strip, otherwise.strip),
        per_channel_dense=first(table.per_channel_dense, otherwise.per_channel_dense),
        activations=first(table.activations, otherwise.activations),
        timeout_seconds=first(table.conversion_timeout, otherwise.timeout_seconds),
        memory_bytes=first(memory, otherwise.memory_bytes),
    )
    if table.representative_data is not None:
        _check_data(context, settings, (*keys, "representative_data"))
    return settings


def _check_data(context: Context, settings: Conversion, keys: KeyPath) -> None:
    path = settings.data_path
    if path is None or exists(path):
        return
    path = Path(os.path.normpath(path))
    context.problems.add(
        keys,
        f"no such file: {settings.representative_data!r} (or "
        f'"package.module:function", or "{RANDOM}")',
        name=path.name,
        valid=siblings(path),
        example='representative_data = "data/kws.npz"',
    )
