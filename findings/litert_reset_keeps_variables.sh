#!/usr/bin/env bash
# LiteRT's reset_all_variables leaves resource variables as they are.
#
# One would expect that a call of this name sets every variable of the model back. It resets
# variable tensors, such as the state of a fused LSTM; what a model keeps with VAR_HANDLE and
# ASSIGN_VARIABLE stays. It bites whoever measures a streaming model sample by sample with one
# interpreter: each sample sees what the ones before have left.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "ai-edge-litert==2.3.0"

cat > reset.py <<'PYTHON'
import sys
from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

OPERATORS = schema.BuiltinOperator
OPTIONS = schema.BuiltinOptions


def tensor(name, shape, kind, buffer=0):
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    return made


def operator(code, inputs, outputs, kind=0, options=None):
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, inputs, outputs
    made.builtinOptionsType, made.builtinOptions = kind, options
    return made


def handle():
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = "", "sum"
    return options


def adder():
    """Adds the input to what the variable holds, keeps the sum and gives it; at first it holds 0."""
    types = schema.TensorType
    main, first = schema.SubGraphT(), schema.SubGraphT()
    main.tensors = [
        tensor("value", [1], types.FLOAT32),
        tensor("handle", [], types.RESOURCE),
        tensor("before", [1], types.FLOAT32),
        tensor("sum", [1], types.FLOAT32),
    ]
    main.inputs, main.outputs = [0], [3]
    once = schema.CallOnceOptionsT()
    once.initSubgraphIndex = 1
    main.operators = [
        operator(0, [], [], OPTIONS.CallOnceOptions, once),
        operator(1, [], [1], OPTIONS.VarHandleOptions, handle()),
        operator(2, [1], [2], OPTIONS.ReadVariableOptions, schema.ReadVariableOptionsT()),
        operator(3, [0, 2], [3], OPTIONS.AddOptions, schema.AddOptionsT()),
        operator(4, [1, 3], [], OPTIONS.AssignVariableOptions, schema.AssignVariableOptionsT()),
    ]
    first.tensors = [tensor("handle", [], types.RESOURCE), tensor("zero", [1], types.FLOAT32, 1)]
    first.inputs, first.outputs = [], []
    first.operators = [
        operator(1, [], [0], OPTIONS.VarHandleOptions, handle()),
        operator(4, [0, 1], [], OPTIONS.AssignVariableOptions, schema.AssignVariableOptionsT()),
    ]
    codes = []
    for code in (
        OPERATORS.CALL_ONCE, OPERATORS.VAR_HANDLE, OPERATORS.READ_VARIABLE, OPERATORS.ADD,
        OPERATORS.ASSIGN_VARIABLE,
    ):
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), 1
        codes.append(made)
    zero = schema.BufferT()
    zero.data = np.zeros(4, np.uint8)
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, codes, [main, first]
    model.buffers = [schema.BufferT(), zero]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


interpreter = Interpreter(model_content=adder())
interpreter.allocate_tensors()


def invoke():
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([5], np.float32))
    interpreter.invoke()
    return float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])


before = invoke()
interpreter.reset_all_variables()
after = invoke()
print("ai-edge-litert", version("ai-edge-litert"))
print("a sum of 5 is", before, "at first and", after, "after reset_all_variables")
sys.exit(0 if (before, after) == (5.0, 10.0) else "the behavior has changed")
PYTHON

environment/bin/python reset.py 2>errors || { cat errors >&2; exit 1; }
echo "the variable was not reset"
