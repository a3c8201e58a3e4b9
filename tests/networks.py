"""Small models with a bit of everything, for the tests of the reader."""

from __future__ import annotations

from modelmaker import ModelMaker


def small_network() -> ModelMaker:
    """A file with a bit of everything: layers, metadata, a signature, a custom operator."""
    maker = ModelMaker()
    graph = maker.graph("main")
    image = graph.input((1, 8, 8, 3), name="image")
    features = graph.conv2d(image, filters=4, stride=(2, 1), activation="RELU6")
    features = graph.depthwise_conv2d(features, multiplier=2, dilation=(2, 1))
    features = graph.pool(features, kind="AVERAGE_POOL_2D")
    spare = graph.tensor((1, 3), "INT16", variable=True)
    result = graph.tensor((1, 5))
    graph.operator("MY_OP", (features, -1, spare), (result,), custom_options=b"\x01\x02")
    scores = graph.softmax(graph.dense(result, units=4, per_channel=True))
    graph.output(scores)
    maker.metadata["note"] = b"hello"
    maker.offline_plan([-1] * len(graph.tensors))
    maker.signature("serve", {"image": image}, {"scores": scores})
    return maker


def calling_network() -> ModelMaker:
    """Control flow: the main graph runs two others."""
    maker = ModelMaker()
    main, then, other = (maker.graph(name) for name in ("main", "then", "else"))
    condition, value = main.input((1,), "BOOL"), main.input((1, 4), "FLOAT32")
    result = main.tensor((1, 4), "FLOAT32")
    options = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    main.operator("IF", (condition, value), (result,), options)
    main.output(result)
    for graph, name in ((then, "RELU"), (other, "ABS")):
        graph.output(graph.unary(name, graph.input((1, 4), "FLOAT32")))
    return maker
