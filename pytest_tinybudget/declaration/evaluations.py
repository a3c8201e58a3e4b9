"""Resolves the demands on a model's outputs: ``accuracy`` and ``agreement`` of a section."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.held_out import ERRORS
from pytest_tinybudget.declaration.held_out import Accuracy
from pytest_tinybudget.declaration.held_out import Agreement
from pytest_tinybudget.declaration.held_out import HeldOut
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.schema.document import ModelTable
from pytest_tinybudget.declaration.schema.evaluation import AccuracyTable
from pytest_tinybudget.declaration.schema.evaluation import AgreementTable
from pytest_tinybudget.declaration.schema.evaluation import NormalizeTable


_DEFAULT_INPUT, _DEFAULT_LABELS = "x", "y"
_DEFAULT_THRESHOLD = 0.5
_EXAMPLE = "data/held_out.npz"


def accuracy(context: Context, table: ModelTable, keys: KeyPath) -> Accuracy | None:
    """The accuracy that the section at ``keys`` asks for; ``None`` where it asks for none."""
    declared, keys = table.accuracy, (*keys, "accuracy")
    if declared is None:
        return None
    problems = context.problems
    _check_trained(context, table, keys)
    data = _held_out(context, (declared,), keys)
    reference = None
    if declared.reference is not None:
        file = context.file(declared.reference, (*keys, "reference"))
        reference = file, context.relative(file)
    is_error = declared.metric in ERRORS
    wrong, right = ("min", "max") if is_error else ("max", "min")
    if getattr(declared, wrong) is not None:
        example = "max = 0.05" if is_error else 'min = "95%"'
        problems.add((*keys, wrong), f"{declared.metric} has a {right}", example=example)
    limits = (declared.min, declared.max, declared.max_drop)
    if all(limit is None for limit in limits) and not problems.concerns(*keys):
        problems.add(keys, f"expected {right} or max_drop", example='min = "95%"')
    if data is None:
        return None
    return Accuracy(
        data=data,
        labels=declared.labels or _DEFAULT_LABELS,
        metric=declared.metric,
        minimum=_share(declared.min),
        maximum=declared.max,
        max_drop=_share(declared.max_drop),
        reference=reference,
    )


def agreement(context: Context, table: ModelTable, keys: KeyPath) -> Agreement | None:
    """The agreement that the section at ``keys`` asks for; ``None`` where it asks for none."""
    declared = table.agreement
    if declared is None:
        return None
    if table.deployed is None and not context.problems.concerns(*keys, "deployed"):
        text = "agreement needs 'deployed', the model to agree with"
        context.problems.add(keys, text, example='deployed = "models/kws_v1.tflite"')
    keys = (*keys, "agreement")
    _check_trained(context, table, keys)
    tables = (declared,) if table.accuracy is None else (declared, table.accuracy)
    data = _held_out(context, tables, keys)
    if data is None:
        return None
    return Agreement(data, _share(declared.min_agreement) or 0.0, declared.tolerance)


def _check_trained(context: Context, table: ModelTable, keys: KeyPath) -> None:
    if table.layers is not None:
        context.problems.add(keys, "a list of layers is not trained: it needs a 'source'")


def _held_out(
    context: Context, tables: tuple[AccuracyTable | AgreementTable, ...], keys: KeyPath
) -> HeldOut | None:
    """The held-out data of the first of ``tables``; missing keys are taken from the next.

    Names and numbers belong to the file, so they are taken from the next table only for the same
    file.
    """
    own = tables[0]
    if own.data is not None:
        tables = tuple(table for table in tables if table.data in (own.data, None))
    declared = next((table.data for table in tables if table.data is not None), None)
    if declared is None:
        if not context.problems.concerns(*keys, "data"):
            context.problems.add(keys, "'data' is missing", example=f'data = "{_EXAMPLE}"')
        return None
    if own.data is not None:
        file = context.file(declared, (*keys, "data"), example=_EXAMPLE)
    else:
        file = Path(os.path.normpath(context.path.parent / declared))  # looked for already
    inputs = _first(tables, "inputs") or _DEFAULT_INPUT
    normalize: NormalizeTable | None = _first(tables, "normalize")
    threshold = _first(tables, "threshold")
    return HeldOut(
        path=file,
        shown=context.relative(file),
        inputs=(inputs,) if isinstance(inputs, str) else tuple(inputs),
        normalize=None if normalize is None else (normalize.mean, normalize.std),
        output=_first(tables, "output") or 0,
        threshold=_DEFAULT_THRESHOLD if threshold is None else threshold,
    )


def _first(tables: Sequence[AccuracyTable | AgreementTable], key: str) -> Any:
    """The value of ``key`` in the first of ``tables`` that has it."""
    declared = (getattr(table, key) for table in tables)
    return next((value for value in declared if value is not None), None)


def _share(declared: str | float | None) -> float | None:
    """``"95%"`` as 0.95, to the last bit; a number as it is."""
    if isinstance(declared, str):
        return float(Decimal(declared.strip().rstrip("%").strip()) / 100)
    return declared
