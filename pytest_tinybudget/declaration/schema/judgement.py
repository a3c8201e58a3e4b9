"""What fails a pair besides its sizes, and what is said then."""

from typing import Annotated
from typing import Literal

from msgspec import Meta

from pytest_tinybudget.declaration.schema.names import Text


Message = Annotated[
    Text, Meta(description="a line for whoever sees the failure", examples=["see docs/size.md"])
]

RequireInt8 = Annotated[
    bool | Literal["warn"],
    Meta(description="what a model that is not full INT8 gets", examples=["warn"]),
]

Strict = Annotated[
    bool, Meta(description="fail where a number is bounded, not exact", examples=[True])
]

RequireBase = Annotated[
    bool,
    Meta(description="fail where growth has a limit and was not checked", examples=[True]),
]

Informational = Annotated[
    bool,
    Meta(description="report it, and never fail the run for it", examples=[True]),
]

ApproveLabels = Annotated[
    list[Text],
    Meta(
        description="labels that approve, for the pull request that one is set on, an increase "
        "over a budget of your own or over `max_increase`",
        examples=[["budget-approved"]],
    ),
]
