"""The shape of ``tinybudget.toml``: keys, types and their descriptions, as msgspec structs.

The one definition that both validation (``loader``) and the JSON Schema for editors read. Each
key's ``Meta`` carries what the documentation says of it and a valid example. The annotations are
evaluated here: as text, msgspec would compile each of them anew, 5 ms of every run.
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

    flash: Annotated[
        Size | None, Meta(description="most flash a model may take", examples=["200 KB"])
    ] = None
    ram: Annotated[
        Size | None, Meta(description="most RAM a model may take", examples=["48 KB"])
    ] = None
    psram: Annotated[
        Size | None,
        Meta(description="most external RAM a model may take", examples=["2 MB"]),
    ] = None
    arena: Annotated[
        Size | None,
        Meta(description="largest tensor arena, as the firmware states it", examples=["48 KB"]),
    ] = None
    persistent_arena: Annotated[
        Size | None,
        Meta(description="largest persistent part of a split arena", examples=["16 KB"]),
    ] = None
    non_persistent_arena: Annotated[
        Size | None,
        Meta(description="largest non-persistent part of a split arena", examples=["200 KB"]),
    ] = None
    update: Annotated[
        Size | None,
        Meta(description="most bytes that an update may send", examples=["100 KB"]),
    ] = None
    latency: Annotated[
        Annotated[str, Meta(pattern=quantity_pattern("s"), extra={"expected": 'a time ("100 ms")'})]
        | None,
        Meta(description="most time that an inference may take", examples=["100 ms"]),
    ] = None
    energy: Annotated[
        Annotated[
            str, Meta(pattern=quantity_pattern("J"), extra={"expected": 'an energy ("50 uJ")'})
        ]
        | None,
        Meta(description="most energy that an inference may take", examples=["50 uJ"]),
    ] = None


class FixedRuntimeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An engine without a table, at a fixed cost."""

    flash: Annotated[Size, Meta(description="flash besides the model", examples=["20 KB"])]
    stack: Annotated[Size, Meta(description="stack", examples=["2 KB"])]


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

    persistent: Annotated[
        Placement, Meta(description="where the persistent arena goes", examples=["static"])
    ]
    non_persistent: Annotated[
        Placement, Meta(description="where the non-persistent arena goes", examples=["psram"])
    ]


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

    percent: Annotated[
        Annotated[float, Meta(ge=0, le=10**6, extra={"expected": "a number, at least 0"})] | None,
        Meta(description="percent of what the base takes", examples=[2]),
    ] = None
    bytes: Annotated[
        Size | None, Meta(description="a size that it may grow by", examples=["1 KB"])
    ] = None
    since: Annotated[
        Text | None,
        Meta(
            description="a tag, or another name of a commit: growth over it instead of over the "
            "baseline",
            examples=["v1.2"],
        ),
    ] = None


class AcceptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An increase that was agreed: over a budget of your own, or over `max_increase`."""

    metric: Annotated[Metric, Meta(description="what may grow", examples=["flash"])]
    up_to: Annotated[Size, Meta(description="how much it may take in all", examples=["212 KB"])]
    reason: Annotated[Text, Meta(description="why it was agreed", examples=["new wake word"])]
    until: Annotated[
        datetime.date,
        Meta(
            description="the last day on which it counts",
            examples=["2027-01-31"],
            extra={"expected": "a date such as 2027-01-31"},
        ),
    ]


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

    keep: Annotated[
        list[Kept] | None,
        Meta(description="what stays although no interpreter needs it", examples=[["signatures"]]),
    ] = None
    without: Annotated[
        list[Rewrite] | None,
        Meta(description="the changes that are not made", examples=[["plan"]]),
    ] = None


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

    folder: Annotated[
        Text | None,
        Meta(description="folder for the generated files", examples=["build/tinybudget"]),
    ] = None
    files: ArtifactFiles | None = None


class ModelArtifactsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of a model, and under which name."""

    name: Annotated[
        Name | None,
        Meta(
            description="name of the generated files, the model's name when absent",
            examples=["keyword_model"],
        ),
    ] = None
    files: ArtifactFiles | None = None


class GoldenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The golden vectors that are written with a model."""

    samples: Annotated[
        Annotated[int, Meta(ge=1, le=10_000, extra={"expected": "1 to 10000 samples"})],
        Meta(description="how many invocations", examples=[8]),
    ] = 4
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**32 - 1, extra={"expected": "a whole number from 0"})],
        Meta(description="of random inputs", examples=[1]),
    ] = 0
    data: Annotated[
        Text | None,
        Meta(
            description="an .npz file whose first samples are the inputs, relative to this file",
            examples=["data/calibration.npz"],
        ),
    ] = None
    tolerance: Annotated[
        Annotated[int, Meta(ge=0, le=65_535, extra={"expected": "0 steps or more"})],
        Meta(description="how many steps an output may differ by", examples=[1]),
    ] = 0


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
        Meta(
            description="what the layer computes; an input has a shape",
            examples=["conv2d"],
            extra={"expected": "a type of layer, such as conv2d, dense, lstm, add or input"},
        ),
    ]
    filters: Annotated[Count | None, Meta(description="outputs of a convolution", examples=[8])] = (
        None
    )
    units: Annotated[
        Count | None, Meta(description="outputs of a dense or an lstm", examples=[64])
    ] = None
    multiplier: Annotated[
        Count | None,
        Meta(description="outputs a channel of a depthwise or separable one", examples=[1]),
    ] = None
    kernel: Annotated[
        Extents | None,
        Meta(description="height and width of the window, one number for both", examples=[3]),
    ] = None
    stride: Annotated[Extents | None, Meta(description="step of the window", examples=[1])] = None
    dilation: Annotated[
        Extents | None, Meta(description="step inside the window", examples=[2])
    ] = None
    padding: Annotated[
        Padding, Meta(description="what happens at the edges", examples=["same"])
    ] = "valid"
    activation: Annotated[Activation, Meta(description="what follows", examples=["relu"])] = "none"
    name: Annotated[
        Text | None, Meta(description="what other layers call it", examples=["stem"])
    ] = None
    inputs: Annotated[
        Annotated[list[Text], Meta(min_length=1)] | None,
        Meta(description="names of layers; the one before when absent", examples=[["a", "b"]]),
    ] = None
    output: Annotated[
        bool, Meta(description="whether it is an output, besides others", examples=[True])
    ] = False
    bias: Annotated[bool, Meta(description="whether it has a bias", examples=[False])] = True
    axis: Annotated[
        Annotated[int, Meta(ge=-5, le=5, extra={"expected": "a whole number"})] | None,
        Meta(description="axis of a concatenate, batch included", examples=[-1]),
    ] = None
    shape: Annotated[
        Annotated[list[Count], Meta(min_length=1, max_length=5)] | None,
        Meta(
            description="shape of an input, target of a reshape, or order of a permute",
            examples=[[4, 8]],
        ),
    ] = None
    amount: Annotated[
        Annotated[list[Amounts], Meta(min_length=1, max_length=2)] | Amount | None,
        Meta(description="of a padding, a cropping or an upsampling", examples=[1]),
    ] = None
    alpha: Annotated[
        NotNegative | None, Meta(description="slope of a leaky_relu", examples=[0.3])
    ] = None
    interpolation: Annotated[
        Literal["nearest", "bilinear"],
        Meta(description="of an upsampling2d", examples=["bilinear"]),
    ] = "nearest"
    keep_dims: Annotated[
        bool, Meta(description="whether a global pool keeps its dimensions", examples=[True])
    ] = False
    sequences: Annotated[
        bool, Meta(description="whether an lstm gives all steps", examples=[True])
    ] = False
    backwards: Annotated[
        bool, Meta(description="whether an lstm reads its steps from the end", examples=[True])
    ] = False
    bidirectional: Annotated[
        Literal["concat", "sum", "multiply", "average"] | None,
        Meta(
            description="an lstm in both directions: how their outputs become one",
            examples=["concat"],
        ),
    ] = None
    heads: Annotated[
        Count | None, Meta(description="heads of a multi_head_attention", examples=[2])
    ] = None


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

    mean: Annotated[Finite, Meta(description="taken away first", examples=[127.5])] = 0.0
    std: Annotated[
        Annotated[float, Meta(gt=0, le=1e18, extra={"expected": "a number above 0"})],
        Meta(description="divided by then", examples=[255]),
    ] = 1.0


class _HeldOutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Data that the model was not trained with, and how the model takes and gives it."""

    data: Annotated[
        Text | None,
        Meta(description="held-out samples, an .npz file", examples=["data/held_out.npz"]),
    ] = None
    inputs: Annotated[
        ArrayNames | None,
        Meta(description="the inputs' arrays in the data, `x` when absent", examples=["images"]),
    ] = None
    normalize: Annotated[
        NormalizeTable | None,
        Meta(
            description="what the arrays need to be as in training: (x - mean) / std",
            examples=[{"mean": 0, "std": 255}],
        ),
    ] = None
    output: Annotated[
        Annotated[int, Meta(ge=0, le=255, extra={"expected": "a whole number from 0"})] | None,
        Meta(description="which output counts, from 0", examples=[0]),
    ] = None
    threshold: Annotated[
        Finite | None,
        Meta(description="from which score a single output means yes", examples=[0.5]),
    ] = None


class AccuracyTable(_HeldOutTable, frozen=True, forbid_unknown_fields=True):
    """How good the INT8 model must be on held-out data."""

    labels: Annotated[
        Text | None,
        Meta(description="the array of what is right, `y` when absent", examples=["labels"]),
    ] = None
    metric: Annotated[
        Literal["accuracy", "top_5", "auc", "mae", "mse"],
        Meta(description="what is measured", examples=["accuracy"]),
    ] = "accuracy"
    min: Annotated[
        ShareOrNumber | None,
        Meta(description="least accuracy, top_5 or auc", examples=["95%"]),
    ] = None
    max: Annotated[
        NotNegative | None,
        Meta(description="greatest mae or mse, in the output's units", examples=[0.05]),
    ] = None
    max_drop: Annotated[
        Share | None,
        Meta(
            description="how much worse than the float model it may be: percentage points, "
            "for errors percent of the float model's",
            examples=["1%"],
        ),
    ] = None
    reference: Annotated[
        Text | None,
        Meta(
            description="float .tflite to compare with, the source when that is converted",
            examples=["models/kws_float.tflite"],
        ),
    ] = None


class AgreementTable(_HeldOutTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the model must decide as the deployed one; what is absent is as in accuracy."""

    min_agreement: Annotated[
        Share, Meta(description="least share of equal decisions", examples=["99%"])
    ]
    tolerance: Annotated[
        NotNegative | None,
        Meta(
            description="numbers, not classes: how far they may be apart to count as equal",
            examples=[0.5],
        ),
    ] = None


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
    artifacts: Annotated[
        Text | ArtifactFiles | ArtifactsTable | None,
        Meta(
            description="folder for the generated files, or which files are written, or both",
            examples=["build/tinybudget"],
        ),
    ] = None
    baseline: Annotated[
        Text | None,
        Meta(
            description="results file to compare with, relative to this file",
            examples=["tinybudget-baseline.json"],
        ),
    ] = None


class ModelTable(_DefaultableTable, frozen=True, forbid_unknown_fields=True):
    """A model, or with a glob as source one model a file."""

    source: Annotated[
        Text | None,
        Meta(
            description="model file or glob, relative to this file",
            examples=["models/kws.tflite"],
        ),
    ] = None
    artifacts: Annotated[
        Name | ArtifactFiles | ModelArtifactsTable | None,
        Meta(
            description="name of the generated files, the model's name when absent, or which "
            "files are written, or both",
            examples=["keyword_model"],
        ),
    ] = None
    golden: Annotated[
        GoldenTable | None,
        Meta(
            description='the vectors that "golden" in artifacts writes',
            examples=[{"samples": 8}],
        ),
    ] = None
    accept: Accepts | None = None
    deployed: Annotated[
        Text | None,
        Meta(
            description="the model in the field, relative to this file",
            examples=["models/kws_v1.tflite"],
        ),
    ] = None
    layers: Annotated[
        Annotated[list[LayerTable], Meta(min_length=1)] | None,
        Meta(
            description="layers of a model that is not trained yet, instead of a source",
            examples=[[{"type": "dense", "units": 64}]],
        ),
    ] = None
    input_shapes: Annotated[
        Annotated[
            dict[Text, Annotated[list[Count], Meta(min_length=1, max_length=6)]],
            Meta(min_length=1),
        ]
        | None,
        Meta(
            description="shapes of inputs that a file leaves open, batch included, by name",
            examples=[{"image": [1, 96, 96, 3]}],
        ),
    ] = None
    input_shape: Annotated[
        Annotated[list[Count], Meta(min_length=1, max_length=3)] | None,
        Meta(description="shape of the input of `layers`, without batch", examples=[[16, 16, 1]]),
    ] = None
    accuracy: Annotated[
        AccuracyTable | None,
        Meta(
            description="how good it must be on held-out data, an item of its own",
            examples=[{"data": "data/held_out.npz", "min": "95%"}],
        ),
    ] = None
    agreement: Annotated[
        AgreementTable | None,
        Meta(
            description="how often it must decide as the deployed model, an item of its own",
            examples=[{"min_agreement": "99%"}],
        ),
    ] = None


class SlotsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How the flash is divided for updates over the air."""

    layout: Annotated[
        Literal["mcuboot", "esp-idf", "custom"],
        Meta(description="whose headers and trailers are around an image", examples=["mcuboot"]),
    ]
    size: Annotated[
        Size | None, Meta(description="size of a firmware slot", examples=["480 KB"])
    ] = None
    count: Annotated[
        Annotated[int, Meta(ge=1, le=16, extra={"expected": "a whole number, 1 to 16"})],
        Meta(description="how many slots of this size there are", examples=[2]),
    ] = 2
    header: Annotated[
        Size | None, Meta(description="bytes before an image", examples=["512 B"])
    ] = None
    trailer: Annotated[
        Size | None, Meta(description="bytes lost at a slot's end", examples=["1584 B"])
    ] = None
    signature: Annotated[
        Literal["none", "ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072"],
        Meta(description="how images are signed", examples=["ed25519"]),
    ] = "none"
    align: Annotated[
        Literal[1, 2, 4, 8, 16, 32],
        Meta(description="smallest number of bytes that the flash writes", examples=[8]),
    ] = 4
    partition_table: Annotated[
        Text | None,
        Meta(
            description="ESP-IDF's partition table, relative to this file",
            examples=["partitions.csv"],
        ),
    ] = None
    partition: Annotated[
        Text | None,
        Meta(
            description="partition of the firmware, the smallest update slot when absent",
            examples=["ota_0"],
        ),
    ] = None
    model_partition: Annotated[
        Text | None,
        Meta(description="partition of its own for the model", examples=["model"]),
    ] = None
    model_size: Annotated[
        Size | None, Meta(description="size of the model's own slot", examples=["256 KB"])
    ] = None
    elf: Annotated[
        Text | None,
        Meta(
            description="with layout esp-idf: an ELF of the firmware, by whose sections the image "
            "is laid out, relative to this file",
            examples=["build/app.elf"],
        ),
    ] = None
    model_symbol: Annotated[
        Text | None,
        Meta(description="the model's array in the ELF", examples=["g_kws_model_data"]),
    ] = None


class UpdateTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How updates are sent over the air."""

    send: Annotated[
        Literal["raw", "compressed", "delta"],
        Meta(description="what is sent, which the budget counts", examples=["compressed"]),
    ] = "compressed"
    link_rate: Annotated[
        Annotated[
            str,
            Meta(
                pattern=LINK_RATE_PATTERN,
                extra={"expected": 'a rate such as "5 kbit/s" or "1.5 Mbit/s"'},
            ),
        ]
        | None,
        Meta(description="net rate of the link, for the airtime", examples=["5 kbit/s"]),
    ] = None
    in_place_memory: Annotated[
        Size | None,
        Meta(
            description="flash in which a delta overwrites the deployed model", examples=["128 KB"]
        ),
    ] = None
    in_place_segment: Annotated[
        Size | None,
        Meta(description="what such a delta writes at once (default 4 KB)", examples=["4 KB"]),
    ] = None


class VelaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How Vela compiles models for the board's Ethos-U; what is absent is Vela's default."""

    config: Annotated[
        Text | None,
        Meta(
            description="Vela's configuration file, relative to this file or one that Vela has",
            examples=["Arm/vela.ini"],
        ),
    ] = None
    system_config: Annotated[
        Text | None,
        Meta(
            description="clocks and memories of the chip, a section of the configuration",
            examples=["Ethos_U55_High_End_Embedded"],
        ),
    ] = None
    memory_mode: Annotated[
        Text | None,
        Meta(description="where weights and arena lie, a section of it", examples=["Shared_Sram"]),
    ] = None
    optimise: Annotated[
        Literal["Performance", "Size"] | None,
        Meta(description="what Vela saves: time, or SRAM", examples=["Size"]),
    ] = None
    arena_cache_size: Annotated[
        Size | None, Meta(description="SRAM that Vela aims at", examples=["64 KB"])
    ] = None
    timeout: Annotated[
        Annotated[int, Meta(gt=0, le=86400, extra={"expected": "a whole number of seconds"})]
        | None,
        Meta(description="seconds that Vela may take", examples=[120]),
    ] = None


class OnnxTable(Struct, frozen=True, forbid_unknown_fields=True):
    """How ONNX sources are converted."""

    command: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)] | None,
        Meta(
            description="onnx2tf: a program on PATH or a path relative to this file; a list gives "
            "it arguments",
            examples=[".venv-onnx/bin/onnx2tf"],
        ),
    ] = None


class ConvertTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The tools that convert sources."""

    onnx: Annotated[
        OnnxTable | None,
        Meta(
            description="the tool for ONNX sources",
            examples=[{"command": ".venv-onnx/bin/onnx2tf"}],
        ),
    ] = None


class BoardTable(Struct, frozen=True, forbid_unknown_fields=True):
    """An own board: another board with changes, or a complete one (core, flash and ram)."""

    extends: Annotated[
        Name | None,
        Meta(description="board that this one starts from", examples=["esp32"]),
    ] = None
    name: Annotated[Text | None, Meta(description="name for people", examples=["Doorbell"])] = None
    mcu: Annotated[Text | None, Meta(description="microcontroller", examples=["nRF52840"])] = None
    core: Annotated[Text | None, Meta(description="processor core", examples=["Cortex-M4F"])] = None
    clock_mhz: Annotated[
        Annotated[int, Meta(gt=0, extra={"expected": "a whole number above 0"})] | None,
        Meta(description="clock in MHz", examples=[64]),
    ] = None
    active_power: Annotated[
        Annotated[str, Meta(pattern=quantity_pattern("W"), extra={"expected": 'a power ("40 mW")'})]
        | None,
        Meta(description="what the board draws while a model runs", examples=["40 mW"]),
    ] = None
    sleep_current: Annotated[
        Annotated[
            str, Meta(pattern=quantity_pattern("A"), extra={"expected": 'a current ("5 uA")'})
        ]
        | None,
        Meta(description="what it draws between inferences", examples=["5 uA"]),
    ] = None
    voltage: Annotated[
        Annotated[
            str, Meta(pattern=quantity_pattern("V"), extra={"expected": 'a voltage ("3.3 V")'})
        ]
        | None,
        Meta(description="supply that currents are drawn from", examples=["3.3 V"]),
    ] = None
    flash: Annotated[
        Size | None, Meta(description="flash of the chip or board", examples=["1 MB"])
    ] = None
    ram: Annotated[Size | None, Meta(description="RAM of the chip", examples=["256 KB"])] = None
    usable_flash: Annotated[
        Size | None,
        Meta(description="flash after bootloader and partitions", examples=["960 KB"]),
    ] = None
    largest_ram: Annotated[
        Size | None,
        Meta(description="largest contiguous block, for the arena", examples=["192 KB"]),
    ] = None
    largest_heap: Annotated[
        Size | None,
        Meta(description="largest free block of the heap at boot", examples=["110 KB"]),
    ] = None
    psram: Annotated[
        Size | None, Meta(description="external RAM for an arena", examples=["8 MB"])
    ] = None
    sdk: Sdk | None = None
    reserved_flash: Annotated[
        Size | None,
        Meta(description="what SDK and application take of the flash", examples=["300 KB"]),
    ] = None
    reserved_ram: Annotated[
        Size | None,
        Meta(description="what SDK and application take of the RAM", examples=["80 KB"]),
    ] = None
    runtime: RuntimeReference | None = None
    notes: Annotated[Text | None, Meta(description="remarks", examples=["board revision 3"])] = None
    accelerator: Annotated[
        Name | None,
        Meta(
            description="what runs models beside the core: an Ethos-U, an Edge TPU, a Jetson",
            examples=["ethos-u55-128"],
        ),
    ] = None
    vela: Annotated[
        VelaTable | None,
        Meta(
            description="how Vela compiles for an Ethos-U",
            examples=[{"memory_mode": "Shared_Sram"}],
        ),
    ] = None
    slots: Annotated[
        SlotsTable | None,
        Meta(
            description="how the flash is divided for updates",
            examples=[{"layout": "mcuboot", "size": "480 KB"}],
        ),
    ] = None


class GroupTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Models that share one board's memory."""

    models: Annotated[
        Annotated[list[Name], Meta(min_length=1)] | None,
        Meta(description="models of the group", examples=[["kws", "vad"]]),
    ] = None
    boards: BoardIds | None = None
    arena: Annotated[
        GroupArena,
        Meta(
            description=(
                "one arena, set up again for each model that runs (the largest); one allocator "
                "for all interpreters; or an arena each (the sum)"
            ),
            examples=["max"],
        ),
    ] = "max"
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

    extends: Annotated[
        RuntimeName | None,
        Meta(
            description="shipped runtime or distribution that this one starts from",
            examples=["zephyr 4.1"],
        ),
    ] = None
    table: Annotated[
        Text | None,
        Meta(
            description="section graph built by `tinybudget runtime build`",
            examples=["firmware/tflm.json.gz"],
        ),
    ] = None
    tflm: Annotated[
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-fA-F]{7,40}$",
                extra={"expected": "a commit of tflite-micro, 7 to 40 hexadecimal digits"},
            ),
        ]
        | None,
        Meta(
            description="commit of tflite-micro that the table was built from: RAM is exact for "
            "those that are known here, for others it has a range, of which the upper end counts",
            examples=["90b983c2"],
        ),
    ] = None
    tflm_date: Annotated[
        Annotated[
            str,
            Meta(
                pattern="^20[0-9]{2}-[01][0-9]-[0-3][0-9]$",
                extra={"expected": "the day of the commit, YYYY-MM-DD"},
            ),
        ]
        | None,
        Meta(
            description="day of the commit `tflm`, where it is none of the known ones: the known "
            "versions around it then narrow the range of RAM",
            examples=["2024-06-15"],
        ),
    ] = None
    static_memory: Annotated[
        bool | None,
        Meta(
            description="whether TFLM is built with TF_LITE_STATIC_MEMORY, which makes its "
            "structs smaller",
            examples=[False],
        ),
    ] = None
    log_strings: Annotated[
        bool | None,
        Meta(
            description="whether the texts of TFLM's errors are in the firmware: false with "
            "TF_LITE_STRIP_ERROR_STRINGS",
            examples=[True],
        ),
    ] = None
    optimize: Annotated[
        Annotated[
            Optimize,
            Meta(extra={"expected": '"s", "2", "3", or "" as TFLM\'s own make files do it'}),
        ]
        | None,
        Meta(description="level that the compiler optimizes TFLM for", examples=["s"]),
    ] = None
    app_libc: Annotated[
        AppLibc | None,
        Meta(
            description="what of the C library the application has anyway, so that TFLM does not "
            "pay for it",
            examples=["printf"],
        ),
    ] = None
    cmsis_nn: Annotated[
        Annotated[
            str,
            Meta(
                pattern="^[0-9a-fA-F]{7,40}$",
                extra={"expected": "a commit of CMSIS-NN, 7 to 40 hexadecimal digits"},
            ),
        ]
        | None,
        Meta(description="commit of CMSIS-NN, with its kernels", examples=["22080c68"]),
    ] = None
    esp_nn: Annotated[
        Text | None,
        Meta(
            description="release of esp-nn, with its kernels; without it the release of those "
            "allowed that asks for the most counts",
            examples=["1.2.1"],
        ),
    ] = None
    core: Annotated[
        Text | None,
        Meta(
            description="core that the table was built for, the extended runtime's when absent",
            examples=["Cortex-M7F"],
        ),
    ] = None
    kernels: Annotated[
        LibraryName | None,
        Meta(description="kernel library", examples=["cmsis-nn"]),
    ] = None
    dsp: Annotated[
        bool | None, Meta(description="kernels built for the DSP extension", examples=[True])
    ] = None
    mve: Annotated[
        bool | None, Meta(description="kernels built for Helium (MVE)", examples=[True])
    ] = None
    vectors: Annotated[
        Vectors | None,
        Meta(
            description='chip whose vector unit esp-nn\'s kernels were built for, "" for plain C',
            examples=["esp32s3"],
        ),
    ] = None
    enum_bytes: Annotated[
        Literal[1, 2, 4] | None,
        Meta(description="width of enumerations (1 with -fshort-enums)", examples=[4]),
    ] = None
    pointer_bytes: Annotated[
        Literal[4, 8] | None, Meta(description="width of pointers", examples=[4])
    ] = None
    layouts: Annotated[
        dict[str, Text] | None,
        Meta(
            description="structs that differ from that version's, as `tinybudget runtime read` "
            "finds them in a firmware: member codes by a struct's name",
            examples=[{"TfLiteTensor": "e 2p (2i) e p 3p i 2b (ep) 2p"}],
        ),
    ] = None
    flash: Annotated[
        Size | None, Meta(description="fixed cost: flash besides the model", examples=["20 KB"])
    ] = None
    stack: Annotated[Size | None, Meta(description="fixed cost: stack", examples=["2 KB"])] = None


class OperatorTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator that the tables do not know costs."""

    persistent: Annotated[
        Size, Meta(description="arena bytes it keeps (tail)", examples=["128 B"])
    ] = 0
    scratch: Annotated[
        Size, Meta(description="arena bytes while it runs (head)", examples=["1 KB"])
    ] = 0
    flash: Annotated[Size, Meta(description="code and constants", examples=["3 KB"])] = 0


_PROBABILITY = {"expected": "a probability from 1e-9 to below 0.5"}
Probability = Annotated[float, Meta(ge=1e-9, lt=0.5, extra=_PROBABILITY)]
DeviceCount = Annotated[
    int, Meta(ge=1, le=10**8, extra={"expected": "a whole number of devices above 0"})
]


class AllowTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What a rollout policy may cost; the gate fails where a simulation says it costs more."""

    halt_good: Annotated[
        Share | None,
        Meta(description="greatest chance of halting a good release", examples=["1%"]),
    ] = None
    good_failures: Annotated[
        Share | None,
        Meta(
            description="on how many devices a good release fails, the policy's when absent",
            examples=["1%"],
        ),
    ] = None
    exposed: Annotated[
        Share | DeviceCount | None,
        Meta(
            description="most that a bad release may reach in the mean, of the fleet or devices",
            examples=["60%"],
        ),
    ] = None
    bad_failures: Annotated[
        Share | None,
        Meta(
            description="on how many devices a bad release fails, the policy's when absent",
            examples=["20%"],
        ),
    ] = None


class RolloutTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A staged rollout: how far an update goes at once, and when it goes on, holds or halts."""

    stages: Annotated[
        Annotated[list[Share], Meta(min_length=1, max_length=100)],
        Meta(
            description="share of the fleet that has the update after each stage",
            examples=[["1%", "10%", "100%"]],
        ),
    ] = field(default_factory=lambda: ["1%", "10%", "100%"])
    minimum_success: Annotated[
        Share,
        Meta(description="below this success rate a rollout never goes on", examples=["95%"]),
    ] = "95%"
    minimum_devices: Annotated[
        DeviceCount, Meta(description="devices that a stage has at least", examples=[10])
    ] = 1
    window: Annotated[
        Annotated[
            str,
            Meta(
                pattern=r"^\s*[0-9]{1,6}(\.[0-9]{1,3})? *(min|h|d)\s*$",
                extra={"expected": 'a time such as "24 h", "90 min" or "2 d"'},
            ),
        ],
        Meta(description="a device silent for longer after its update failed", examples=["24 h"]),
    ] = "24 h"
    rollback: Annotated[
        bool,
        Meta(description="after a halt, devices go back to what they had", examples=[True]),
    ] = True
    test: Annotated[
        Literal["sprt", "exact"],
        Meta(
            description="what weighs the failures: sequential probability ratio, or the exact "
            "binomial test at the minimum success rate",
            examples=["sprt"],
        ),
    ] = "sprt"
    good_failures: Annotated[
        Share,
        Meta(description="on how many devices a good release fails at most", examples=["2%"]),
    ] = "2%"
    bad_failures: Annotated[
        Share,
        Meta(description="on how many devices a bad release fails at least", examples=["10%"]),
    ] = "10%"
    alpha: Annotated[
        Probability, Meta(description="chance of halting a good release", examples=[0.05])
    ] = 0.05
    beta: Annotated[
        Probability, Meta(description="chance of calling a bad release good", examples=[0.05])
    ] = 0.05
    fleets: Annotated[
        Annotated[list[DeviceCount], Meta(min_length=1, max_length=20)],
        Meta(description="fleet sizes that the policy is for", examples=[[100, 1000, 10000]]),
    ] = field(default_factory=lambda: [100, 1000, 10000])
    allow: Annotated[
        AllowTable,
        Meta(
            description="what the policy may cost",
            examples=[{"halt_good": "1%", "exposed": "60%"}],
        ),
    ] = AllowTable()


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A tinybudget.toml: models, the boards they must fit, and on what terms."""

    schema: Annotated[
        Literal[1], Meta(description="version of this file's schema", examples=[1])
    ] = 1
    extends: Annotated[
        Text | None,
        Meta(
            description="a file whose [defaults] and [boards] hold here as well",
            examples=["../shared-budgets.toml"],
        ),
    ] = None
    defaults: DefaultsTable = DefaultsTable()
    models: dict[Name, ModelTable] = {}
    boards: dict[Name, BoardTable] = {}
    groups: dict[Name, GroupTable] = {}
    runtime: dict[Name, RuntimeTable] = {}
    convert: ConvertTable | None = None
    update: UpdateTable | None = None
    rollout: RolloutTable | None = None
    operators: dict[Text, OperatorTable] = field(name=OPERATORS, default_factory=dict)
