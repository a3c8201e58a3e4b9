"""A declaration as a whole: its sections, and what a model may say.

Annotations stay text, and the modules that they name are imported when one is evaluated.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.declaration import schema as types


#: ``[runtime.ops]`` once lifted out of ``[runtime]``, whose other tables are runtimes.
OPERATORS = "runtime.ops"


class _DefaultableTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model may say, and the defaults for it."""

    boards: types.names.BoardIds | None = None
    budget: types.limits.Budget | None = None
    warn_at: types.limits.Percent | None = None
    message: types.judgement.Message | None = None
    require_int8: types.judgement.RequireInt8 | None = None
    strict: types.judgement.Strict | None = None
    registrations: types.firmware.Registrations | None = None
    runtime: types.firmware.RuntimeReference | None = None
    stack: types.firmware.Stack | None = None
    placement: types.firmware.Placed | None = None
    placement_model: types.firmware.PlacedModel | None = None
    storage_model: types.firmware.StoredModel | None = None
    max_increase: types.growth.MaxIncrease | None = None
    require_base: types.judgement.RequireBase | None = None
    informational: types.judgement.Informational | None = None
    approve_labels: types.judgement.ApproveLabels | None = None
    representative_data: types.conversion.RepresentativeData | None = None
    custom_objects: types.conversion.CustomObjects | None = None
    strip: types.conversion.Strip | None = None
    shrink: types.conversion.Shrunken | None = None
    per_channel_dense: types.conversion.PerChannelDense | None = None
    activations: types.conversion.Activations | None = None
    plan: types.conversion.Planned | None = None
    conversion_timeout: types.conversion.ConversionTimeout | None = None
    conversion_memory: types.conversion.ConversionMemory | None = None


class DefaultsTable(_DefaultableTable, frozen=True, forbid_unknown_fields=True):
    """What models and groups take unless they say otherwise."""

    sdk: types.firmware.Sdk | None = None
    artifacts: (
        types.names.Text | types.artifacts.ArtifactFiles | types.artifacts.ArtifactsTable | None
    ) = None
    baseline: types.names.Text | None = None


class ModelTable(_DefaultableTable, frozen=True, forbid_unknown_fields=True):
    """A model, or with a glob as source one model a file."""

    source: types.names.Text | None = None
    artifacts: (
        types.names.Name
        | types.artifacts.ArtifactFiles
        | types.artifacts.ModelArtifactsTable
        | None
    ) = None
    golden: types.artifacts.GoldenTable | None = None
    accept: types.growth.Accepts | None = None
    deployed: types.names.Text | None = None
    layers: types.layers.Layers | None = None
    input_shapes: types.layers.InputShapes | None = None
    input_shape: types.layers.InputShape | None = None
    accuracy: types.evaluation.AccuracyTable | None = None
    agreement: types.evaluation.AgreementTable | None = None


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A tinybudget.toml: models, the boards they must fit, and on what terms."""

    schema: Literal[1] = 1
    extends: types.names.Text | None = None
    defaults: DefaultsTable = DefaultsTable()
    models: dict[types.names.Name, ModelTable] = {}
    boards: dict[types.names.Name, types.boards.BoardTable] = {}
    groups: dict[types.names.Name, types.groups.GroupTable] = {}
    runtime: dict[types.names.Name, types.runtimes.RuntimeTable] = {}
    convert: types.conversion.ConvertTable | None = None
    update: types.updates.UpdateTable | None = None
    rollout: types.rollout.RolloutTable | None = None
    operators: dict[types.names.Text, types.runtimes.OperatorTable] = field(
        name=OPERATORS, default_factory=dict
    )
