"""Models that share one board."""

from typing import Annotated

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.firmware import Placed
from pytest_tinybudget.declaration.schema.growth import Accepts
from pytest_tinybudget.declaration.schema.growth import MaxIncrease
from pytest_tinybudget.declaration.schema.judgement import ApproveLabels
from pytest_tinybudget.declaration.schema.judgement import Informational
from pytest_tinybudget.declaration.schema.judgement import Message
from pytest_tinybudget.declaration.schema.judgement import RequireBase
from pytest_tinybudget.declaration.schema.limits import Budget
from pytest_tinybudget.declaration.schema.limits import Percent
from pytest_tinybudget.declaration.schema.names import BoardIds
from pytest_tinybudget.declaration.schema.names import Name
from pytest_tinybudget.footprint.result import GroupArena


class GroupTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Models that share one board's memory."""

    models: Annotated[list[Name], Meta(min_length=1)] | None = None
    boards: BoardIds | None = None
    arena: GroupArena = "max"
    placement: Placed | None = None
    budget: Budget | None = None
    warn_at: Percent | None = None
    message: Message | None = None
    max_increase: MaxIncrease | None = None
    require_base: RequireBase | None = None
    informational: Informational | None = None
    approve_labels: ApproveLabels | None = None
    accept: Accepts | None = None
