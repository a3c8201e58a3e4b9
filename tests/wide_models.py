"""Models with INT16 activations."""

from __future__ import annotations

from modelmaker import ModelMaker


def wide(bias: str, told: str | None) -> bytes:
    """A 1 x 1 convolution with INT16 activations; ``told`` is its option's bias type."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4, 4, 2), "INT16", scale=0.001)
    values = [10, -20, 30, 40, 50, -60]
    weights = graph.constant((3, 1, 1, 2), "INT8", values, scale=[0.01] * 3, dimension=0)
    sums = graph.constant((3,), bias, [30000, -40000, 50000], scale=[1e-5] * 3, dimension=0)
    result = graph.tensor((1, 4, 4, 3), "INT16", scale=0.001)
    options = {
        "padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1,
        "dilation_w_factor": 1,
    }  # fmt: skip
    if told:
        options["quantized_bias_type"] = told
    graph.operator("CONV_2D", (image, weights, sums), (result,), options)
    graph.output(result)
    return maker.build()
