"""Random models for hypothesis: graphs of common layers with branches, of one activation type."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from hypothesis import note
from hypothesis import strategies as st
from modelmaker import Graph
from modelmaker import ModelMaker


ACTIVATIONS = ("NONE", "RELU", "RELU6")
#: A layer takes a graph and one of its tensors, and gives the tensors it computes.
Layer = Callable[[st.DrawFn, Graph, int], tuple[int, ...]]


def models(
    max_layers: int = 8, *, offline: bool = False, unread: bool = False
) -> st.SearchStrategy[bytes]:
    """Files of one subgraph, with ``offline`` some of their tensors in a memory plan.

    With ``unread`` nothing reads some results, which are no output either.
    """
    return layered(max_layers, offline=offline, unread=unread).map(ModelMaker.build)


def control_flow() -> st.SearchStrategy[bytes]:
    """Files with nested IFs, a WHILE, or variables that two subgraphs share."""
    return calling().map(ModelMaker.build)


@st.composite
def layered(
    draw: st.DrawFn, max_layers: int = 8, *, offline: bool = False, unread: bool = False
) -> ModelMaker:
    """One subgraph: each layer reads any earlier tensor; what nothing reads is output.

    With ``offline`` they carry a memory plan for some of their tensors. With ``unread`` only some
    of what nothing reads is output, at least one.
    """
    maker = ModelMaker()
    graph = maker.graph()
    kind = draw(st.sampled_from(("INT8", "FLOAT32", "INT16")))
    available = [graph.input(draw(shapes()), kind) for _ in range(draw(st.integers(1, 2)))]
    for _ in range(draw(st.integers(1, max_layers))):
        source = draw(st.sampled_from(available))
        layer = draw(st.sampled_from(layers_for(graph, source)))
        available.extend(layer(draw, graph, source))
    read = {index for step in graph.steps for index in step.inputs}
    computed = [index for step in graph.steps for index in step.outputs]
    ends = [index for index in computed if index not in read]
    if unread:
        ends = draw(st.lists(st.sampled_from(ends), min_size=1, unique=True))
    graph.output(*ends)
    if draw(st.booleans()):
        shuffle_tensors(draw, graph)
    if offline:
        maker.offline_plan(
            [
                -1 if spec.data is not None else draw(st.sampled_from((-1, 0, 16, 128, 1024)))
                for spec in graph.tensors
            ]
        )
    note(described(maker))
    return maker


@st.composite
def calling(draw: st.DrawFn) -> ModelMaker:
    """Nested IFs, a WHILE, or variables that two subgraphs share."""
    maker = ModelMaker()
    main = maker.graph()
    value = main.input((1, 4), draw(st.sampled_from(("INT8", "FLOAT32"))))
    value = body(draw, main, value)
    add = draw(st.sampled_from((add_if, add_while, add_variables)))
    value = add(draw, maker, main, value)
    main.output(body(draw, main, value))
    note(described(maker))
    return maker


def described(maker: ModelMaker) -> str:
    """The operators with their tensors, for who reads a failure."""
    lines = []
    for graph in maker.graphs:
        lines.append(f"{graph.name}: inputs {graph.inputs}, outputs {graph.outputs}")
        for step in graph.steps:
            lines.append(f"  {step.name} {dict(step.options)}")
            for arrow, indices in (("<-", step.inputs), ("->", step.outputs)):
                for index in indices:
                    spec = graph.tensors[index] if index >= 0 else "absent"
                    lines.append(f"    {arrow} {index}: {spec}")
    return "\n".join(lines)


def body(draw: st.DrawFn, graph: Graph, value: int) -> int:
    """A few layers that keep the shape (1, 4)."""
    known = [value]
    for name in draw(st.lists(st.sampled_from(("RELU", "TANH", "ADD", "dense")), max_size=4)):
        source = draw(st.sampled_from(known))
        if name == "ADD":
            known.append(graph.add(source, draw(st.sampled_from(known))))
        elif name == "dense":
            known.append(graph.dense(source, units=4, per_channel=draw(st.booleans())))
        else:
            known.append(graph.tanh(source) if name == "TANH" else graph.unary(name, source))
    return known[-1]


def branch(maker: ModelMaker, like: Graph, value: int) -> tuple[Graph, int]:
    """A new subgraph with an input of the type of ``value``."""
    graph, spec = maker.graph(), like.tensors[value]
    return graph, graph.input(spec.shape, spec.type, scale=spec.scales, **offset(spec.zero_points))


def offset(zero_points: tuple[int, ...]) -> dict[str, int]:
    return {"zero_point": zero_points[0]} if zero_points else {}


def add_if(draw: st.DrawFn, maker: ModelMaker, graph: Graph, value: int, depth: int = 2) -> int:
    condition = graph.constant((1,), "BOOL", (draw(st.booleans()),))
    first = len(maker.graphs)
    branches = [branch(maker, graph, value) for _ in range(2)]
    for called, entry in branches:
        inside = body(draw, called, entry)
        if depth > 1 and draw(st.booleans()):
            inside = add_if(draw, maker, called, inside, depth - 1)
        called.output(called.unary("RELU", inside))
    result = graph.tensor(
        graph.tensors[value].shape, graph.tensors[value].type, scale=graph.tensors[value].scales
    )
    options = {"then_subgraph_index": first, "else_subgraph_index": first + 1}
    graph.operator("IF", (condition, value), (result,), options)
    return result


def add_while(draw: st.DrawFn, maker: ModelMaker, graph: Graph, value: int) -> int:
    """Counts to 3; the loop carries the counter and a value."""
    first = len(maker.graphs)
    (condition, _), (loop, carried) = (branch(maker, graph, value) for _ in range(2))
    count = condition.input((1,), "INT32")
    below = condition.tensor((1,), "BOOL")
    condition.operator("LESS", (count, condition.constant((1,), "INT32", (3,))), (below,))
    condition.output(below)
    count = loop.input((1,), "INT32")
    inside = body(draw, loop, carried)
    following = loop.binary("ADD", count, loop.constant((1,), "INT32", (1,)))
    loop.output(loop.unary("RELU", inside), following)
    spec = graph.tensors[value]
    results = graph.tensor(spec.shape, spec.type, scale=spec.scales), graph.tensor((1,), "INT32")
    start = graph.constant((1,), "INT32")
    options = {"cond_subgraph_index": first, "body_subgraph_index": first + 1}
    graph.operator("WHILE", (value, start), results, options)
    return results[0]


def add_variables(draw: st.DrawFn, maker: ModelMaker, graph: Graph, value: int) -> int:
    """Resource variables, assigned in a subgraph that runs once, after they are read, or both."""
    start = maker.graph()
    graph.operator("CALL_ONCE", (), (), {"init_subgraph_index": len(maker.graphs) - 1})
    spec = graph.tensors[value]
    for index in range(draw(st.integers(1, 3))):
        options = {"container": "", "shared_name": f"variable {index}"}
        handle = variable(start, options)
        first, again = draw(st.sampled_from(((True, False), (False, True), (True, True))))
        if first:
            content = start.constant(spec.shape, spec.type, scale=spec.scales)
            start.operator("ASSIGN_VARIABLE", (handle, content), ())
        handle = variable(graph, options)
        stored = graph.tensor(spec.shape, spec.type, scale=spec.scales)
        graph.operator("READ_VARIABLE", (handle,), (stored,))
        value = graph.add(value, stored)
        if again:
            graph.operator("ASSIGN_VARIABLE", (handle, value), ())
    return value


def variable(graph: Graph, options: dict[str, str]) -> int:
    handle = graph.tensor((), "RESOURCE")
    graph.operator("VAR_HANDLE", (), (handle,), options)
    return handle


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Images: batch, height, width, channels."""
    return st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 12), st.integers(1, 8))


def layers_for(graph: Graph, source: int) -> tuple[Layer, ...]:
    """The layers that take a tensor of this rank."""
    any_rank = (unary, binary, concat, reshape, strided_slice, dense, softmax)
    by_rank: dict[int, tuple[Layer, ...]] = {
        3: (lstm,),
        4: (conv2d, depthwise_conv2d, pool, pad, split, mean, broadcast),
    }
    return (*any_rank, *by_rank.get(len(graph.tensors[source].shape), ()))


def conv2d(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    window, dilation = window_and_dilation(draw, graph, source)
    return (
        graph.conv2d(
            source,
            filters=draw(st.integers(1, 12)),
            dilation=dilation,
            activation=draw(st.sampled_from(ACTIVATIONS)),
            per_channel=draw(st.booleans()),
            bias=draw(st.booleans()),
            **window,
        ),
    )


def depthwise_conv2d(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    window, dilation = window_and_dilation(draw, graph, source)
    return (
        graph.depthwise_conv2d(
            source,
            multiplier=draw(st.integers(1, 3)),
            dilation=dilation,
            activation=draw(st.sampled_from(ACTIVATIONS)),
            per_channel=draw(st.booleans()),
            **window,
        ),
    )


def pool(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    window, _ = window_and_dilation(draw, graph, source)
    kind = draw(st.sampled_from(("MAX_POOL_2D", "AVERAGE_POOL_2D")))
    return (graph.pool(source, kind=kind, **window),)


def window_and_dilation(
    draw: st.DrawFn, graph: Graph, source: int
) -> tuple[dict[str, object], tuple[int, int]]:
    """A window that fits its input when the padding is VALID."""
    padding = draw(st.sampled_from(("SAME", "VALID")))
    sides = [
        draw(side(extent if padding == "VALID" else 12))
        for extent in graph.tensors[source].shape[1:3]
    ]
    (height, high), (width, wide) = sides
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return {"kernel": (height, width), "stride": stride, "padding": padding}, (high, wide)


def side(extent: int) -> st.SearchStrategy[tuple[int, int]]:
    """Kernel extent and dilation that reach over at most ``extent``."""
    return st.tuples(st.integers(1, 5), st.integers(1, 2)).filter(
        lambda pair: (pair[0] - 1) * pair[1] < extent
    )


def pad(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    amount = st.tuples(st.integers(0, 2), st.integers(0, 2))
    return (graph.pad(source, [(0, 0), draw(amount), draw(amount), (0, 0)]),)


def split(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    shape = graph.tensors[source].shape
    axis = draw(st.integers(0, 3))
    parts = draw(st.sampled_from([n for n in range(1, 5) if shape[axis] % n == 0]))
    return graph.split(source, parts=parts, axis=axis)


def mean(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    axes = draw(st.sampled_from(((1, 2), (3,), (1,))))
    return (graph.mean(source, axes=axes, keep_dims=draw(st.booleans())),)


def broadcast(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    """A factor per channel, as in squeeze and excitation."""
    factor = graph.logistic(graph.mean(source, axes=(1, 2)))
    return factor, graph.binary("MUL", source, factor)


def dense(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    return (
        graph.dense(
            source,
            units=draw(st.integers(1, 16)),
            activation=draw(st.sampled_from(ACTIVATIONS)),
            per_channel=draw(st.booleans()),
            keep_num_dims=draw(st.booleans()),
            bias=draw(st.booleans()),
        ),
    )


def softmax(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    return (graph.softmax(source),)


def unary(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    name = draw(st.sampled_from(("RELU", "RELU6", "LOGISTIC", "TANH")))
    if name == "LOGISTIC":
        return (graph.logistic(source),)
    return (graph.tanh(source) if name == "TANH" else graph.unary(name, source),)


def binary(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    other = draw(st.sampled_from(alike(graph, source, graph.tensors[source].shape)))
    name = draw(st.sampled_from(("ADD", "SUB", "MUL")))
    return (graph.binary(name, source, other, activation=draw(st.sampled_from(ACTIVATIONS))),)


def concat(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    shape = graph.tensors[source].shape
    others = draw(st.lists(st.sampled_from(alike(graph, source, shape)), max_size=3))
    return (graph.concat([source, *others], axis=draw(st.integers(0, len(shape) - 1))),)


def alike(graph: Graph, source: int, shape: tuple[int, ...]) -> list[int]:
    """Run-time tensors of this shape, with the type of ``source``."""
    return [
        index
        for index, spec in enumerate(graph.tensors)
        if spec.data is None
        and not spec.is_variable
        and spec.shape == shape
        and spec.type == graph.tensors[source].type
    ]


def reshape(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    shape = graph.tensors[source].shape
    rest = prod(shape[1:])
    inner = draw(st.sampled_from([n for n in range(1, rest + 1) if rest % n == 0]))
    target = draw(
        st.sampled_from(
            (
                (shape[0], rest),
                (shape[0], rest // inner, inner),
                (*shape[:1], 1, inner, rest // inner),
            )
        )
    )
    return (graph.reshape(source, target),)


def strided_slice(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    begin, end, strides = [], [], []
    for extent in graph.tensors[source].shape:
        begin.append(draw(st.integers(0, extent - 1)))
        end.append(draw(st.integers(begin[-1] + 1, extent)))
        strides.append(draw(st.integers(1, 3)))
    return (graph.strided_slice(source, begin, end, strides),)


def lstm(draw: st.DrawFn, graph: Graph, source: int) -> tuple[int, ...]:
    return (graph.lstm(source, units=draw(st.integers(1, 8))),)


def shuffle_tensors(draw: st.DrawFn, graph: Graph) -> None:
    """Number the tensors anew: the planner breaks ties by their numbers."""
    order = draw(st.permutations(range(len(graph.tensors))))
    new = {old: number for number, old in enumerate(order)} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in order]
    graph.inputs = [new[old] for old in graph.inputs]
    graph.outputs = [new[old] for old in graph.outputs]
    for step in graph.steps:
        step.inputs = tuple(new[old] for old in step.inputs)
        step.outputs = tuple(new[old] for old in step.outputs)
        step.intermediates = tuple(new[old] for old in step.intermediates)
