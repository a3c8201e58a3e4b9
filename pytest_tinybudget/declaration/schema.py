"""The shape of ``tinybudget.toml``: keys, types and their descriptions, as msgspec structs.

The one definition that both validation (``loader``) and the JSON Schema for editors read. What the
documentation says of each key, and a valid example, is in ``data/keys.toml`` (``keys``), and for a
type that several tables have in its ``Meta``. The annotations are evaluated here: as text, msgspec
would compile each of them anew, 5 ms of every run.
"""

import datetime
from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.units import quantity_pattern
from pytest_tinybudget.footprint.result import GroupArena
from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.planning.network import LayerType
from pytest_tinybudget.planning.network import Padding
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.kernels import Vectors
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.runtime import AppLibc
from pytest_tinybudget.runtimes.runtime import Optimize
from pytest_tinybudget.shrinking.options import Kept
from pytest_tinybudget.shrinking.options import Rewrite
from pytest_tinybudget.update.settings import LINK_RATE_PATTERN


#: ``[runtime.ops]`` once lifted out of ``[runtime]``, whose other tables are runtimes.
OPERATORS = "runtime.ops"
#: Models, boards, groups and runtimes: they become parts of node ids and file names.
NAME_PATTERN = r"^[A-Za-z0-9._-]+$(?!\n)"
#: What ``parse_size`` reads (which also refuses a fraction of a byte).
SIZE_PATTERN = r"^\s*[0-9]{1,18}(\.[0-9]{1,16})?\s*([bB]|[kKmM]([iI]?[bB])?)?\s*$"

#: A runtime's name, or a distribution's and its release: ``zephyr 4.1``.
RUNTIME_PATTERN = r"^[A-Za-z0-9._-]+( +[A-Za-z0-9._~-]+)?$(?!\n)"

_RUNTIME = {"expected": "a runtime's name, or a distribution's and its release (\"zephyr 4.1\")"}
_NAME = {"expected": "a name of letters, digits, '.', '_' and '-'"}
_SIZE = {"expected": 'a size ("256 KB", "1 MB", "812 B" or bytes)'}

Name = Annotated[str, Meta(pattern=NAME_PATTERN, extra=_NAME)]
Size = (
    Annotated[str, Meta(pattern=SIZE_PATTERN, extra=_SIZE)]
    | Annotated[int, Meta(ge=0, le=10**18, extra=_SIZE)]
)
Percent = Annotated[
    str,
    Meta(
        pattern=r"^\s*(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)\s*%\s*$",
        description="share of a limit from which a pair that fits warns",
        examples=["90%"],
        extra={"expected": 'a percentage ("90%", at most "100%")'},
    ),
]
BoardIds = Annotated[
    list[Name],
    Meta(
        description="boards by id: the catalog's (`tinybudget boards`) or own ones",
        examples=[["arduino-nano-33-ble", "raspberry-pi-pico"]],
        min_length=1,
    ),
]
Text = Annotated[str, Meta(min_length=1, extra={"expected": "text"})]


class BudgetTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of your own; the board's room limits as well."""

    flash: Size | None = None
    ram: Size | None = None
    psram: Size | None = None
    arena: Size | None = None
    persistent_arena: Size | None = None
    non_persistent_arena: Size | None = None
    update: Size | None = None
    latency: (
        Annotated[str, Meta(pattern=quantity_pattern("s"), extra={"expected": 'a time ("100 ms")'})]
        | None
    ) = None
    energy: (
        Annotated[
            str, Meta(pattern=quantity_pattern("J"), extra={"expected": 'an energy ("50 uJ")'})
        ]
        | None
    ) = None


class FixedRuntimeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An engine without a table, at a fixed cost."""

    flash: Size
    stack: Size


RuntimeName = Annotated[str, Meta(pattern=RUNTIME_PATTERN, extra=_RUNTIME)]
RuntimeReference = Annotated[
    RuntimeName | FixedRuntimeTable,
    Meta(
        description="a runtime by name (`tinybudget runtime` lists what is shipped), `project` for "
        "what the project's own files name, or a fixed cost; the board's own when absent",
        examples=["esp-tflite-micro 1.3.3.1"],
    ),
]
Budget = Annotated[
    BudgetTable,
    Meta(
        description="limits of your own besides the board's room",
        examples=[{"flash": "200 KB", "ram": "48 KB"}],
    ),
]
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
Registrations = Annotated[
    Literal["generic", "typed"],
    Meta(description="how the firmware registers operators", examples=["typed"]),
]
Sdk = Annotated[
    Name,
    Meta(
        description="what the firmware is built with: its share of a board's memory is reserved, "
        "and the TFLM that it ships is the board's runtime (arduino, esp-idf, pico-sdk, zephyr, "
        "bare-metal, or another that `tinybudget boards show` lists)",
        examples=["zephyr"],
    ),
]
_ARENA_PLACE = {"expected": '"static", "heap" or "psram"'}
ArenaPlace = Annotated[Placement, Meta(extra=_ARENA_PLACE)]


class SplitPlacementTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An arena of two buffers: persistent data, and buffers that are planned for each inference."""

    persistent: Placement
    non_persistent: Placement


Placed = Annotated[
    ArenaPlace | SplitPlacementTable,
    Meta(description="where the arena goes, one block of which it must fit", examples=["static"]),
]
PlacedModel = Annotated[
    ModelPlacement,
    Meta(description="where the model's bytes lie while it runs", examples=["ram"]),
]
StoredModel = Annotated[
    ModelStorage,
    Meta(
        description="where a model that lies in RAM is read from: the firmware's flash, or "
        "outside of it (an SD card, a file system)",
        examples=["external"],
    ),
]
Stack = Annotated[
    Size, Meta(description="stack, in place of the measured table's", examples=["2 KB"])
]


class MaxIncreaseTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How much flash, RAM or another limited size may grow; percent and bytes must both be passed.

    With `since` it is drift: growth over a tag or release, however many changes it took.
    """

    percent: (
        Annotated[float, Meta(ge=0, le=10**6, extra={"expected": "a number, at least 0"})] | None
    ) = None
    bytes: Size | None = None
    since: Text | None = None


class AcceptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An increase that was agreed: over a budget of your own, or over `max_increase`."""

    metric: Metric
    up_to: Size
    reason: Text
    until: Annotated[datetime.date, Meta(extra={"expected": "a date such as 2027-01-31"})]


MaxIncrease = Annotated[
    MaxIncreaseTable | Annotated[list[MaxIncreaseTable], Meta(min_length=1)],
    Meta(
        description="most growth over the baseline, over a tag, or a list of such limits",
        examples=[{"percent": 2, "bytes": "1 KB"}],
    ),
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
Accepts = Annotated[
    list[AcceptTable],
    Meta(
        description="agreed increases, which pass until their date",
        examples=[
            [{"metric": "flash", "up_to": "212 KB", "reason": "new word", "until": "2027-01-31"}]
        ],
    ),
]


#: How sources that are no INT8 ``.tflite`` are converted.
RepresentativeData = Annotated[
    Text,
    Meta(
        description="samples to calibrate with: .npz, .npy, a folder of them, "
        '"package.module:function", or "random"',
        examples=["data/kws.npz"],
    ),
]
CustomObjects = Annotated[
    Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$(?!\n)",
            extra={"expected": "a module such as package.module"},
        ),
    ],
    Meta(description="module with the model's own layers", examples=["training.layers"]),
]
Strip = Annotated[
    bool, Meta(description="leave out names, signatures and metadata", examples=[True])
]


class ShrinkTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is shrunk."""

    keep: list[Kept] | None = None
    without: list[Rewrite] | None = None


Shrunken = Annotated[
    bool | ShrinkTable,
    Meta(
        description="measure and write the model as a smaller file with the same outputs",
        examples=[True],
    ),
]
#: What is written of a model: the files for the firmware's build, the model's own file, or vectors
#: for a test of the firmware.
ArtifactKind = Literal["c", "tflite", "golden"]
ArtifactFiles = Annotated[
    Annotated[list[ArtifactKind], Meta(min_length=1)],
    Meta(
        description='which files are written: "c" for the build, "tflite" for the model itself, '
        '"golden" for a test of the firmware',
        examples=[["c", "tflite"]],
    ),
]


class ArtifactsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of each model, and to which folder."""

    folder: Text | None = None
    files: ArtifactFiles | None = None


class ModelArtifactsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of a model, and under which name."""

    name: Name | None = None
    files: ArtifactFiles | None = None


class GoldenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The golden vectors that are written with a model."""

    samples: Annotated[int, Meta(ge=1, le=10_000, extra={"expected": "1 to 10000 samples"})] = 4
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, extra={"expected": "a whole number from 0"})] = 0
    data: Text | None = None
    tolerance: Annotated[int, Meta(ge=0, le=65_535, extra={"expected": "0 steps or more"})] = 0


PerChannelDense = Annotated[
    bool, Meta(description="a scale for each output of a dense layer", examples=[False])
]
Activations = Annotated[
    Literal["int8", "int16", "float"],
    Meta(
        description="type of what flows between operators; float is for layers alone",
        examples=["int8"],
    ),
]
Planned = Annotated[
    bool,
    Meta(
        description="plan a .keras or .pt2 file from its layers: a verdict before it is converted",
        examples=[True],
    ),
]
ConversionTimeout = Annotated[
    Annotated[int, Meta(gt=0, le=86400, extra={"expected": "a whole number of seconds above 0"})],
    Meta(description="seconds that a conversion may take", examples=[300]),
]
ConversionMemory = Annotated[
    Size,
    Meta(
        description="memory that a conversion may take besides TensorFlow's",
        examples=["4096 MB"],
    ),
]


_COUNT = {"expected": "a whole number from 1 to 65536"}
Count = Annotated[int, Meta(gt=0, le=65536, extra=_COUNT)]


NotNegative = Annotated[float, Meta(ge=0, le=1e18, extra={"expected": "a number, at least 0"})]
Extents = (
    Count
    | Annotated[
        list[Count],
        Meta(min_length=2, max_length=2, description="height and width", examples=[[3, 5]]),
    ]
)
_AMOUNT = {"expected": "a whole number from 0 to 65536"}
Amount = Annotated[int, Meta(ge=0, le=65536, extra=_AMOUNT)]
Amounts = Amount | Annotated[list[Amount], Meta(min_length=2, max_length=2, examples=[[0, 1]])]


class LayerTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A layer of a model that is planned, not trained."""

    type: Annotated[
        LayerType | Literal["input"],
        Meta(extra={"expected": "a type of layer, such as conv2d, dense, lstm, add or input"}),
    ]
    filters: Count | None = None
    units: Count | None = None
    multiplier: Count | None = None
    kernel: Extents | None = None
    stride: Extents | None = None
    dilation: Extents | None = None
    padding: Padding = "valid"
    activation: Activation = "none"
    name: Text | None = None
    inputs: Annotated[list[Text], Meta(min_length=1)] | None = None
    output: bool = False
    bias: bool = True
    axis: Annotated[int, Meta(ge=-5, le=5, extra={"expected": "a whole number"})] | None = None
    shape: Annotated[list[Count], Meta(min_length=1, max_length=5)] | None = None
    amount: Annotated[list[Amounts], Meta(min_length=1, max_length=2)] | Amount | None = None
    alpha: NotNegative | None = None
    interpolation: Literal["nearest", "bilinear"] = "nearest"
    keep_dims: bool = False
    sequences: bool = False
    backwards: bool = False
    bidirectional: Literal["concat", "sum", "multiply", "average"] | None = None
    heads: Count | None = None


#: A share of samples or of a value.
_SHARE_PATTERN = r"^\s*(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?)\s*%\s*$"
_SHARE = {"expected": 'a percentage ("95%", at most "100%")'}
Finite = Annotated[float, Meta(ge=-1e18, le=1e18, extra={"expected": "a number"})]
_FROM_0_TO_1 = {"expected": 'a percentage ("95%") or a number from 0 to 1'}

Share = Annotated[str, Meta(pattern=_SHARE_PATTERN, extra=_SHARE)]
ShareOrNumber = (
    Annotated[str, Meta(pattern=_SHARE_PATTERN, extra=_FROM_0_TO_1)]
    | Annotated[float, Meta(ge=0, le=1, extra=_FROM_0_TO_1)]
)
ArrayNames = Text | Annotated[list[Text], Meta(min_length=1)]


class NormalizeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What turns stored numbers into those the model was trained with: (x - mean) / std."""

    mean: Finite = 0.0
    std: Annotated[float, Meta(gt=0, le=1e18, extra={"expected": "a number above 0"})] = 1.0


class _HeldOutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Data that the model was not trained with, and how the model takes and gives it."""

    data: Text | None = None
    inputs: ArrayNames | None = None
    normalize: NormalizeTable | None = None
    output: (
        Annotated[int, Meta(ge=0, le=255, extra={"expected": "a whole number from 0"})] | None
    ) = None
    threshold: Finite | None = None


class AccuracyTable(_HeldOutTable, frozen=True, forbid_unknown_fields=True):
    """How good the INT8 model must be on held-out data."""

    labels: Text | None = None
    metric: Literal["accuracy", "top_5", "auc", "mae", "mse"] = "accuracy"
    min: ShareOrNumber | None = None
    max: NotNegative | None = None
    max_drop: Share | None = None
    reference: Text | None = None


class AgreementTable(_HeldOutTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the model must decide as the deployed one; what is absent is as in accuracy."""

    min_agreement: Share
    tolerance: NotNegative | None = None


class _DefaultableTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What a model may say, and the defaults for it."""

    boards: BoardIds | None = None
    budget: Budget | None = None
    warn_at: Percent | None = None
    message: Message | None = None
    require_int8: RequireInt8 | None = None
    strict: Strict | None = None
    registrations: Registrations | None = None
    runtime: RuntimeReference | None = None
    stack: Stack | None = None
    placement: Placed | None = None
    placement_model: PlacedModel | None = None
    storage_model: StoredModel | None = None
    max_increase: MaxIncrease | None = None
    require_base: RequireBase | None = None
    informational: Informational | None = None
    approve_labels: ApproveLabels | None = None
    representative_data: RepresentativeData | None = None
    custom_objects: CustomObjects | None = None
    strip: Strip | None = None
    shrink: Shrunken | None = None
    per_channel_dense: PerChannelDense | None = None
    activations: Activations | None = None
    plan: Planned | None = None
    conversion_timeout: ConversionTimeout | None = None
    conversion_memory: ConversionMemory | None = None


class DefaultsTable(_DefaultableTable, frozen=True, forbid_unknown_fields=True):
    """What models and groups take unless they say otherwise."""

    sdk: Sdk | None = None
    artifacts: Text | ArtifactFiles | ArtifactsTable | None = None
    baseline: Text | None = None


class ModelTable(_DefaultableTable, frozen=True, forbid_unknown_fields=True):
    """A model, or with a glob as source one model a file."""

    source: Text | None = None
    artifacts: Name | ArtifactFiles | ModelArtifactsTable | None = None
    golden: GoldenTable | None = None
    accept: Accepts | None = None
    deployed: Text | None = None
    layers: Annotated[list[LayerTable], Meta(min_length=1)] | None = None
    input_shapes: (
        Annotated[
            dict[Text, Annotated[list[Count], Meta(min_length=1, max_length=6)]],
            Meta(min_length=1),
        ]
        | None
    ) = None
    input_shape: Annotated[list[Count], Meta(min_length=1, max_length=3)] | None = None
    accuracy: AccuracyTable | None = None
    agreement: AgreementTable | None = None


class SlotsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How the flash is divided for updates over the air."""

    layout: Literal["mcuboot", "esp-idf", "custom"]
    size: Size | None = None
    count: Annotated[int, Meta(ge=1, le=16, extra={"expected": "a whole number, 1 to 16"})] = 2
    header: Size | None = None
    trailer: Size | None = None
    signature: Literal["none", "ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072"] = "none"
    align: Literal[1, 2, 4, 8, 16, 32] = 4
    partition_table: Text | None = None
    partition: Text | None = None
    model_partition: Text | None = None
    model_size: Size | None = None
    elf: Text | None = None
    model_symbol: Text | None = None


class UpdateTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How updates are sent over the air."""

    send: Literal["raw", "compressed", "delta"] = "compressed"
    link_rate: (
        Annotated[
            str,
            Meta(
                pattern=LINK_RATE_PATTERN,
                extra={"expected": 'a rate such as "5 kbit/s" or "1.5 Mbit/s"'},
            ),
        ]
        | None
    ) = None
    in_place_memory: Size | None = None
    in_place_segment: Size | None = None


class VelaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How Vela compiles models for the board's Ethos-U; what is absent is Vela's default."""

    config: Text | None = None
    system_config: Text | None = None
    memory_mode: Text | None = None
    optimise: Literal["Performance", "Size"] | None = None
    arena_cache_size: Size | None = None
    timeout: (
        Annotated[int, Meta(gt=0, le=86400, extra={"expected": "a whole number of seconds"})] | None
    ) = None


class OnnxTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How ONNX sources are converted."""

    command: Text | Annotated[list[Text], Meta(min_length=1)] | None = None


class ConvertTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The tools that convert sources."""

    onnx: OnnxTable | None = None


class BoardTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An own board: another board with changes, or a complete one (core, flash and ram)."""

    extends: Name | None = None
    name: Text | None = None
    mcu: Text | None = None
    core: Text | None = None
    clock_mhz: Annotated[int, Meta(gt=0, extra={"expected": "a whole number above 0"})] | None = (
        None
    )
    active_power: (
        Annotated[str, Meta(pattern=quantity_pattern("W"), extra={"expected": 'a power ("40 mW")'})]
        | None
    ) = None
    sleep_current: (
        Annotated[
            str, Meta(pattern=quantity_pattern("A"), extra={"expected": 'a current ("5 uA")'})
        ]
        | None
    ) = None
    voltage: (
        Annotated[
            str, Meta(pattern=quantity_pattern("V"), extra={"expected": 'a voltage ("3.3 V")'})
        ]
        | None
    ) = None
    flash: Size | None = None
    ram: Size | None = None
    usable_flash: Size | None = None
    largest_ram: Size | None = None
    largest_heap: Size | None = None
    psram: Size | None = None
    sdk: Sdk | None = None
    reserved_flash: Size | None = None
    reserved_ram: Size | None = None
    runtime: RuntimeReference | None = None
    notes: Text | None = None
    accelerator: Name | None = None
    vela: VelaTable | None = None
    slots: SlotsTable | None = None


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


class RuntimeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A runtime of your own: a shipped one with changes, or a fixed cost (flash and stack)."""

    extends: RuntimeName | None = None
    table: Text | None = None
    tflm: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-fA-F]{7,40}$",
                extra={"expected": "a commit of tflite-micro, 7 to 40 hexadecimal digits"},
            ),
        ]
        | None
    ) = None
    tflm_date: (
        Annotated[
            str,
            Meta(
                pattern="^20[0-9]{2}-[01][0-9]-[0-3][0-9]$",
                extra={"expected": "the day of the commit, YYYY-MM-DD"},
            ),
        ]
        | None
    ) = None
    static_memory: bool | None = None
    log_strings: bool | None = None
    optimize: (
        Annotated[
            Optimize,
            Meta(extra={"expected": '"s", "2", "3", or "" as TFLM\'s own make files do it'}),
        ]
        | None
    ) = None
    app_libc: AppLibc | None = None
    cmsis_nn: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-fA-F]{7,40}$",
                extra={"expected": "a commit of CMSIS-NN, 7 to 40 hexadecimal digits"},
            ),
        ]
        | None
    ) = None
    esp_nn: Text | None = None
    core: Text | None = None
    kernels: LibraryName | None = None
    dsp: bool | None = None
    mve: bool | None = None
    vectors: Vectors | None = None
    enum_bytes: Literal[1, 2, 4] | None = None
    pointer_bytes: Literal[4, 8] | None = None
    layouts: dict[str, Text] | None = None
    flash: Size | None = None
    stack: Size | None = None


class OperatorTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator that the tables do not know costs."""

    persistent: Size = 0
    scratch: Size = 0
    flash: Size = 0


_PROBABILITY = {"expected": "a probability from 1e-9 to below 0.5"}
Probability = Annotated[float, Meta(ge=1e-9, lt=0.5, extra=_PROBABILITY)]
DeviceCount = Annotated[
    int, Meta(ge=1, le=10**8, extra={"expected": "a whole number of devices above 0"})
]


class AllowTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rollout policy may cost; the gate fails where a simulation says it costs more."""

    halt_good: Share | None = None
    good_failures: Share | None = None
    exposed: Share | DeviceCount | None = None
    bad_failures: Share | None = None


class RolloutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A staged rollout: how far an update goes at once, and when it goes on, holds or halts."""

    stages: Annotated[list[Share], Meta(min_length=1, max_length=100)] = field(
        default_factory=lambda: ["1%", "10%", "100%"]
    )
    minimum_success: Share = "95%"
    minimum_devices: DeviceCount = 1
    window: Annotated[
        str,
        Meta(
            pattern=r"^\s*[0-9]{1,6}(\.[0-9]{1,3})? *(min|h|d)\s*$",
            extra={"expected": 'a time such as "24 h", "90 min" or "2 d"'},
        ),
    ] = "24 h"
    rollback: bool = True
    test: Literal["sprt", "exact"] = "sprt"
    good_failures: Share = "2%"
    bad_failures: Share = "10%"
    alpha: Probability = 0.05
    beta: Probability = 0.05
    fleets: Annotated[list[DeviceCount], Meta(min_length=1, max_length=20)] = field(
        default_factory=lambda: [100, 1000, 10000]
    )
    allow: AllowTable = AllowTable()


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A tinybudget.toml: models, the boards they must fit, and on what terms."""

    schema: Literal[1] = 1
    extends: Text | None = None
    defaults: DefaultsTable = DefaultsTable()
    models: dict[Name, ModelTable] = {}
    boards: dict[Name, BoardTable] = {}
    groups: dict[Name, GroupTable] = {}
    runtime: dict[Name, RuntimeTable] = {}
    convert: ConvertTable | None = None
    update: UpdateTable | None = None
    rollout: RolloutTable | None = None
    operators: dict[Text, OperatorTable] = field(name=OPERATORS, default_factory=dict)
