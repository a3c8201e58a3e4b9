"""A source as the model that its conversion would make, from its layers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.convert.requirements import missing_packages
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import ONLY_PLANNED
from pytest_tinybudget.convert.sources import Kind
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.convert.sources import tells_layers
from pytest_tinybudget.graph.model import Model


if TYPE_CHECKING:
    from pathlib import Path

    from pytest_tinybudget.declaration import DeclaredModel
    from pytest_tinybudget.planning.network import Network


class Plan(Struct, frozen=True):
    """A planned model and its network, or why there is none."""

    model: Model | None
    network: Network | None = None
    why_not: str = ""


def plan_of(source: Path, name: str, settings: Conversion) -> Plan:
    """The plan of the file ``source``; it has the names of layers where nothing is stripped."""
    from pytest_tinybudget.planning import planned_model

    kind = kind_of(source)
    if not tells_layers(kind):
        return Plan(None, why_not=f"{source.name}: {ONLY_PLANNED}")
    try:
        network = _network_of(source, kind, settings)
        named = not (settings.strip or network.traced)
        return Plan(planned_model(network, name, named=named), network)
    except ModelError as error:  # not known, or a layer that Keras would refuse
        return Plan(None, why_not=error.message)


def _network_of(source: Path, kind: Kind, settings: Conversion) -> Network:
    if kind == "torch":
        from msgspec.structs import replace

        from pytest_tinybudget.planning.torch_archive import read_program

        return replace(read_program(source), numbers=settings.activations)
    from pytest_tinybudget.planning.keras_config import read_keras

    return read_keras(
        source,
        settings.activations,
        per_channel_dense=settings.scales_per_channel,
        input_shapes=settings.input_shapes,
    )


def why_not_converted(declared: DeclaredModel) -> str:
    """Why a source cannot be converted here; empty where it can be."""
    settings = declared.conversion
    if settings.representative_data is None:
        return "no 'representative_data' is declared"
    kind = kind_of(declared.source)
    missing = missing_packages(kind, declared.declared_source, settings)
    return "" if missing is None else missing.message.removeprefix(f"{declared.declared_source}: ")
