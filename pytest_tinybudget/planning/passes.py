"""What the converter fuses, moves and leaves out, as TensorFlow 2.21 does it.

Each rule was read off its conversions; ``benchmarks/plans.py`` holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from math import prod

from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Shape
from pytest_tinybudget.planning.nodes import Value


_CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})
_WEIGHTED = _CONVOLUTIONS | {"FULLY_CONNECTED"}
#: What has an activation of its own.
_ACTIVE = _WEIGHTED | {"ADD", "SUB", "MUL", "DIV", "AVERAGE_POOL_2D", "MAX_POOL_2D"}
_FUSED = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}
#: What may become a part of the operator before it.
_TAKEN = frozenset({*_FUSED, "BIAS", "ADD", "SUB", "MUL"})
_FOLDS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
#: So many operators that became a part of a dense layer are not its bias alone.
_MORE_THAN_BIAS = 2
#: How far behind another node one comes that belongs to it.
_NEXT = 1e-3
#: Their bias may become a part of that of the dense layer behind them.
_GIVES_BIAS = frozenset({"FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_2D", "DEPTHWISE_CONV_2D"})
_ARITHMETIC = frozenset({"ADD", "SUB", "MUL", "DIV"})
#: What changes each number by itself (``ReorderElementwiseValueOpAndMoveOp``).
_MOVED = frozenset({"TANH", "EXP", "LOGISTIC"})
#: Sums with a constant, whose vector a dense layer takes in.
_SUMS = frozenset({"BIAS", "ADD", "SUB"})
#: What dense layers take in of what is before them.
_FOLDED = frozenset({"ADD", "SUB", "MUL"})
#: What joins a reshape that has come behind a dense layer, or passes it, before that moves on.
_FIRST = _MOVED | {"RESHAPE", *_FUSED}
#: What moves numbers without changing them.
_MOVES = frozenset({"RESHAPE", "TRANSPOSE"})
#: Of the operands of arithmetic that is moved.
_MOST_DIMENSIONS = 4
_OF_TWO = _ARITHMETIC | {"MAXIMUM", "MINIMUM"}


_Rule = Callable[["_Graph", Node], bool]


class _Graph:
    """Nodes in order with who uses what."""

    def __init__(self, nodes: list[Node], outputs: list[Value], *, traced: bool) -> None:
        self.nodes = nodes
        self.traced = traced
        #: Whether nothing moves any more.
        self.is_final = False
        self.outputs = {id(each) for each in outputs}
        self.makers = {id(node.output): node for node in nodes}
        self.users: dict[int, list[Node]] = {}
        for node in nodes:
            for value in node.values():
                self.users.setdefault(id(value), []).append(node)

    def maker(self, node: Node, position: int = 0) -> Node | None:
        """The node that computes an operand."""
        return self.makers.get(id(node.inputs[position]))

    def only(self, node: Node) -> Node | None:
        """The one user of a node's result; ``None`` where there are several or it is an output."""
        users = self.users.get(id(node.output), [])
        return users[0] if len(users) == 1 and id(node.output) not in self.outputs else None

    def feed(self, node: Node, position: int, value: Value) -> None:
        """Let a node take another operand."""
        old = node.inputs[position]
        self.users[id(old)].remove(node)
        node.inputs[position] = value
        self.users.setdefault(id(value), []).append(node)

    def absorb(self, maker: Node, user: Node) -> None:
        """``user`` becomes a part of ``maker``, its only operand, and gives it its place."""
        del self.makers[id(maker.output)]
        self.users.pop(id(maker.output), None)
        maker.output, maker.place = user.output, user.place
        maker.names += user.names
        self.makers[id(maker.output)] = maker
        self.nodes.remove(user)

    def drop(self, node: Node, value: Value) -> None:
        """Leave a node out: whoever takes its result takes ``value``."""
        for user in list(self.users.get(id(node.output), [])):
            for position, operand in enumerate(user.inputs):
                if operand is node.output:
                    self.feed(user, position, value)
        self.remove(node)

    def remove(self, node: Node) -> None:
        """Take a node out that nobody uses."""
        for each in set(node.values()):
            self.users[id(each)] = [user for user in self.users[id(each)] if user is not node]
        del self.makers[id(node.output)]
        self.nodes.remove(node)


def simplified(nodes: list[Node], outputs: list[Value], *, traced: bool = False) -> list[Node]:
    """``nodes``, ordered, as the converter leaves them; ``traced``: those of litert-torch."""
    graph = _Graph(list(nodes), outputs, traced=traced)
    rules = _TRACED_RULES if traced else _RULES
    for node in nodes:
        node.bias_is_last = _is_before_dense(graph, node)
    for node in list(graph.nodes) if traced else ():
        _padded(graph, node)  # litert-torch pads in its convolutions: before equal ones are one
    if not traced:
        for node in list(graph.nodes):
            _once(graph, node)
    _keep_rows(graph)
    while _round(graph, rules):
        pass
    graph.is_final = True
    for node in list(graph.nodes) if traced else ():
        if _hoisted_pair(graph, node):
            raise NotPlannedError(f"layer {node.label}: not planned: two reshaped values that meet")
    if traced:
        found = list(graph.nodes)
        moved = [rule(graph, each) for each in found for rule in (_reshaped_behind, _keeps)]
        while any(moved) and _round(graph, rules):
            pass
    else:
        for node in list(graph.nodes):
            _copied(graph, node)
        while _round(graph, _SECOND_RULES):
            pass
    for node in list(graph.nodes):
        _mean_kept(graph, node)
        if traced:
            _mean_left_out(graph, node)
    if any(node.op == "FULLY_CONNECTED" and _is_reshaped(graph, node) for node in graph.nodes):
        while _round(graph, _LAST_RULES):
            pass
    _move_biases(graph)
    _refuse_shared_dilations(graph)
    for node in list(graph.nodes):
        _check_steps(graph, node)
        if node.op == "BIAS":
            node.op = "ADD"
    return sorted(graph.nodes, key=lambda each: each.place)


def _once(graph: _Graph, node: Node) -> None:
    """Leave out a ReLU behind the same one, permutations apart, and note what it is behind."""
    if node.op not in _FUSED:
        return
    before = graph.maker(node)
    while before is not None and before.op == "TRANSPOSE" and graph.only(before) is not None:
        before = graph.maker(before)
    if before is None:
        return
    if before.op == node.op:
        first = graph.maker(node)
        if first is not None and graph.only(first) is node:
            graph.absorb(first, node)
        elif first is before and id(node.output) in graph.outputs:
            text = "a result that is the same as what others take"
            raise NotPlannedError(f"layer {node.label}: not planned: {text}")
        elif first is before:
            graph.drop(node, first.output)
            return
    node.is_behind_sum = before.op in _SUMS and _constant(before) is not None


def _keep_rows(graph: _Graph) -> None:
    """Let dense layers without a bias keep their dimensions, where none takes their rows."""
    behind = [each for each in graph.nodes if each.is_of_dense]
    for node in behind:
        if not graph.users.get(id(node.output)) and id(node.output) not in graph.outputs:
            graph.remove(node)
        else:
            _kept(graph, node)


def _round(graph: _Graph, rules: Mapping[str, Sequence[_Rule]]) -> bool:
    changed = False
    others = rules[""]
    for node in list(graph.nodes):
        if graph.makers.get(id(node.output)) is node:
            for rule in rules.get(node.op, others):
                if rule(graph, node):
                    changed = True
                    break
    return changed


def _without_reshape(graph: _Graph, node: Node) -> bool:
    """A reshape of a reshape is one of what came first, or nothing."""
    if node.op != "RESHAPE":
        return False
    source = node.inputs[0]
    assert isinstance(source, Value)
    if source.shape == node.output.shape and id(node.output) not in graph.outputs:
        graph.drop(node, source)
        return True
    before = graph.maker(node)
    if source.shape == node.output.shape and before is not None and graph.only(before) is node:
        graph.absorb(before, node)
        return True
    if before is None or before.op != "RESHAPE":
        return False
    first = before.inputs[0]
    assert isinstance(first, Value)
    if before.is_of_dense and _is_of_rows(graph, before):
        text = "a reshape behind dense layers of which one has no bias"
        raise NotPlannedError(f"layer {node.label}: not planned: {text}")
    graph.feed(node, 0, first)
    node.squeezed = node.squeezed or node.squeeze or before.squeeze or before.squeezed
    node.squeeze = False
    if not graph.users.get(id(before.output)) and id(before.output) not in graph.outputs:
        graph.remove(before)
    return True


def _is_of_rows(graph: _Graph, reshape: Node) -> bool:
    """Whether a dense layer that takes another one's rows is before a reshape."""
    dense = graph.maker(reshape)
    before = graph.maker(dense) if dense is not None and dense.op == "FULLY_CONNECTED" else None
    return before is not None and before.op == "FULLY_CONNECTED"


def _shared(graph: _Graph, node: Node) -> bool:
    """What is computed twice is computed once."""
    if node.op in _WEIGHTED or not isinstance(node.inputs[0], Value):
        return False
    for other in graph.users[id(node.inputs[0])]:
        if (
            other.place >= node.place
            and _equal(node, other)
            and id(other.output) not in graph.outputs
        ):
            graph.drop(other, node.output)
            return True
    return False


def _equal(one: Node, other: Node) -> bool:
    same = (
        one is not other
        and one.op == other.op
        and one.options == other.options
        and one.activation == other.activation
        and one.output.shape == other.output.shape
        and len(one.inputs) == len(other.inputs)
    )
    return same and all(map(_same_operand, one.inputs, other.inputs))


def _same_operand(one: object, other: object) -> bool:
    if isinstance(one, Const) and isinstance(other, Const):
        return one.kind == other.kind == "ints" and (one.shape, one.values) == (
            other.shape,
            other.values,
        )
    return one is other


def _padded(graph: _Graph, node: Node) -> bool:
    """Padding as SAME would do it becomes SAME."""
    before = graph.maker(node) if node.op in ("CONV_2D", "DEPTHWISE_CONV_2D") else None
    if before is None or before.op != "PAD" or node.options["padding"] != "VALID":
        return False
    pads, source = before.inputs[1], before.inputs[0]
    assert isinstance(pads, Const)
    assert isinstance(source, Value)
    if len(source.shape) != 4 or graph.only(before) is not node or any(pads.values[:2]):
        return False
    weights = node.inputs[1]
    assert isinstance(weights, Const)
    for axis, side in ((1, "h"), (2, "w")):
        extent, stride = source.shape[axis], node.options[f"stride_{side}"]
        window = (weights.shape[axis] - 1) * node.options[f"dilation_{side}_factor"] + 1
        whole = (-(-extent // stride) - 1) * stride + window - extent
        if whole < 0 and graph.traced:
            return False
        whole = max(whole, 0)
        if tuple(pads.values[2 * axis : 2 * axis + 2]) != (whole // 2, whole - whole // 2):
            return False
    if any(pads.values[6:]):
        return False
    node.options["padding"] = "SAME"
    graph.feed(node, 0, source)
    graph.remove(before)
    return True


def _hoisted(graph: _Graph, node: Node) -> bool:
    """What changes each number by itself goes before a reshape or transposition.

    So does arithmetic with a constant that is the tail of both shapes of a reshape.
    """
    alone = node.op in _FUSED or node.op in _MOVED
    before = graph.maker(node) if isinstance(node.inputs[0], Value) else None
    if before is None or before.op not in _MOVES or graph.only(before) is not node:
        return False
    if not alone and (not _is_over_tail(before, node) or _goes_into_dense(graph, node)):
        return False
    if node.op in _FUSED:
        source = graph.maker(before)
        if graph.traced and source is not None and node.op == source.activation:
            graph.absorb(before, node)
            return True
    return _swap(graph, before, node)


def _goes_into_dense(graph: _Graph, node: Node) -> bool:
    """Whether a dense layer behind arithmetic with a constant takes it into its weights first.

    The converter begins at the end. A ReLU there keeps a dense layer from having its bias in time.
    """
    if graph.traced:
        return False
    if node.op == "BIAS":
        behind = graph.only(node)
        goes = behind is not None and (
            _goes_into_dense(graph, behind) if behind.op == "MUL" else _is_lost(graph, node)
        )
        return goes or _is_shared(graph, node) or _leads_to_shared(graph, node)
    left = [node]
    while left:
        node = left.pop()
        constant = _constant(node) if node.op in _FOLDED else None
        if constant is None or len(constant.shape) != 1 or node.activation != "NONE":
            continue
        for user in graph.users.get(id(node.output), ()):
            if user.op != "FULLY_CONNECTED":
                left += [user] if user.inputs[0] is node.output else []
            elif not _is_rectified(graph, user) and _takes(graph, node, user):
                return True
    return False


def _is_shared(graph: _Graph, node: Node) -> bool:
    """Whether a dense layer takes in a sum that others take too, before what computes that does."""
    if node.op not in _SUMS or graph.traced or graph.only(node) is not None:
        return False
    constant = _constant(node)
    if constant is None or len(constant.shape) != 1 or node.activation != "NONE":
        return False
    has_time = _is_of_norm(graph, node)
    return any(
        user.op == "FULLY_CONNECTED"
        and (has_time or not _is_rectified(graph, user))
        and _takes(graph, node, user, has_time=has_time)
        for user in graph.users.get(id(node.output), ())
    )


def _is_of_norm(graph: _Graph, node: Node) -> bool:
    """Whether a sum is behind a product, and that behind another sum, as that of a norm is.

    Until it is at what computes them, a dense layer behind a ReLU has its bias too.
    """
    before = graph.maker(node)
    if before is not None and before.op in _WEIGHTED:
        found = [op for op, _, _ in before.folds]
        return "MUL" in found and found[0] in _SUMS
    if before is None or before.op != "MUL" or _constant(before) is None:
        return False
    first = graph.maker(before)
    if first is None:
        return False
    taken = [op for op, _, _ in first.folds] if first.op in _WEIGHTED else [first.op]
    return any(op in _SUMS for op in taken)


def _leads_to_shared(graph: _Graph, node: Node) -> bool:
    """Whether a sum that others take too is behind ``node``, products and sums between.

    A dense layer takes in all of them, so that what computes their first operand takes in none.
    """
    behind = graph.only(node)
    if graph.traced or (node.op != "MUL" and node.op not in _SUMS) or _constant(node) is None:
        return False
    while behind is not None and behind.activation == "NONE":
        constant = _constant(behind)
        if constant is None or len(constant.shape) != 1:
            return False
        if graph.only(behind) is None:
            if node.op in _SUMS and _all_rectified(graph, behind) and _is_of_norm(graph, behind):
                return False  # before dense layers behind ReLUs have theirs
            return _is_shared(graph, behind)
        behind = graph.only(behind)
    return False


def _all_rectified(graph: _Graph, node: Node) -> bool:
    """Whether a ReLU is behind each dense layer that takes a result."""
    users = graph.users.get(id(node.output), ())
    return all(_is_rectified(graph, each) for each in users if each.op == "FULLY_CONNECTED")


def _takes(graph: _Graph, node: Node, dense: Node, *, has_time: bool = False) -> bool:
    """Whether a dense layer takes in arithmetic as soon as it has a bias."""
    if _is_taken(graph, node, dense):
        return True
    own = _own_sum(graph, dense, has_time=has_time)
    return own is not None and not _is_lost(graph, own)


def _own_sum(graph: _Graph, dense: Node, *, has_time: bool = False) -> Node | None:
    """The sum that gives a dense layer its bias, where it does so in time."""
    behind = graph.only(dense)
    has_factor = behind is not None and behind.op == "MUL" and _constant(behind) is not None
    if behind is not None and has_factor:
        behind = graph.only(behind)
    if dense.inputs[-1] is not None or behind is None or behind.op not in _SUMS:
        return None
    if _constant(behind) is None:
        return None
    return behind if has_factor or has_time or not _is_rectified(graph, behind) else None


def _is_lost(graph: _Graph, bias: Node) -> bool:
    """Whether dense layers take in the bias of one before it has that.

    They do if they have theirs in time: from the last to the first, as many as there are in a row.
    """
    found, left = [], [bias]
    while left:
        node = left.pop()
        users = graph.users.get(id(node.output), ())
        takers = [
            each
            for each in users
            if each.op == "FULLY_CONNECTED" and not _is_rectified(graph, each)
        ]
        owns = [_own_sum(graph, each) for each in takers]
        found.append((node, takers, owns))
        left += [each for each in owns if each is not None]
    lost: dict[int, bool] = {}
    for node, takers, owns in reversed(found):
        lost[id(node)] = any(
            _is_taken(graph, node, dense) or (own is not None and not lost[id(own)])
            for dense, own in zip(takers, owns, strict=True)
        )
    return lost[id(bias)]


def _is_rectified(graph: _Graph, node: Node) -> bool:
    """Whether a ReLU is right behind a node and its bias, or a part of it.

    In attention a reshape is there.
    """
    if node.is_of_head:
        return True
    if node.activation == "NONE":
        behind = graph.only(node)
        return behind is not None and behind.op in _FUSED
    between = [op for op, _, came_before in node.folds if not came_before]
    return len(between) < _MORE_THAN_BIAS and "MUL" not in between


def _is_over_tail(reshape: Node, node: Node) -> bool:
    """Whether arithmetic with a constant changes the same numbers before the reshape."""
    constant = _constant(node) if node.op == "BIAS" or node.op in _ARITHMETIC else None
    source = reshape.inputs[0]
    assert isinstance(source, Value)
    if constant is None or constant.kind == "ints":
        return False
    if reshape.op != "RESHAPE" and constant.shape:
        return False
    if reshape.output.shape != node.output.shape:
        return False
    return all(
        len(constant.shape) <= len(shape) <= _MOST_DIMENSIONS
        and shape[len(shape) - len(constant.shape) :] == constant.shape
        for shape in (reshape.output.shape, source.shape)
    )


def _untransposed(graph: _Graph, node: Node) -> bool:
    """A transpose of a transpose that nothing else reads is one of what came first, or nothing."""
    before = graph.maker(node)
    if before is None or before.op != "TRANSPOSE" or graph.only(before) is not node:
        return False
    first, orders = before.inputs[0], (before.inputs[1], node.inputs[1])
    assert isinstance(first, Value)
    one, other = (each.values for each in orders if isinstance(each, Const))
    order = tuple(one[each] for each in other)
    if order == tuple(range(len(order))):
        if id(node.output) in graph.outputs:
            return False
        graph.drop(node, first)
    else:
        node.inputs[1] = Const("ints", (len(order),), values=order)
        graph.feed(node, 0, first)
    graph.remove(before)
    return True


def _hoisted_over_transpose(graph: _Graph, node: Node) -> bool:
    """What changes each number by itself goes before a transpose."""
    transpose = graph.maker(node) if isinstance(node.inputs[0], Value) else None
    if transpose is None or transpose.op != "TRANSPOSE" or graph.only(transpose) is not node:
        return False
    return _swap(graph, transpose, node)


def _swap(graph: _Graph, reshape: Node, node: Node, position: int = 0) -> bool:
    """The reshape comes behind the node that took its result."""
    wide = reshape.inputs[0]
    assert isinstance(wide, Value)
    narrow, result = reshape.output, node.output
    middle = Value(wide.shape)
    graph.feed(node, position, wide)
    del graph.makers[id(narrow)], graph.makers[id(result)]
    node.output, reshape.output = middle, result
    graph.makers[id(middle)], graph.makers[id(result)] = node, reshape
    graph.feed(reshape, 0, middle)
    # What moved behind the node before stays behind this one.
    first = min((each.place for each in graph.users.get(id(result), ())), default=node.place + 1)
    reshape.place = min(node.place + _NEXT, (node.place + first) / 2)
    return True


def _refuse_shared_dilations(graph: _Graph) -> None:
    """Refuse convolutions of one dilation over the same value, as in a gate.

    TensorFlow computes them between SPACE_TO_BATCH_ND and its reverse, and the converter only makes
    these one operator if nothing else takes the first (``ConvertTFDilatedConvOp``).
    """
    seen: set[tuple[object, ...]] = set()
    for node in graph.nodes:
        dilations = [node.options.get(f"dilation_{side}_factor", 1) for side in "hw"]
        if node.op not in ("CONV_2D", "DEPTHWISE_CONV_2D") or max(dilations) == 1:
            continue
        weights = node.inputs[1]
        assert isinstance(weights, Const)
        same = node.options["padding"] == "SAME"
        key = (id(node.inputs[0]), *dilations, weights.shape[1:3] if same else ())
        if key in seen:
            text = "two convolutions of one dilation that take the same"
            raise NotPlannedError(f"layer {node.label}: not planned: {text}")
        seen.add(key)


def _mean_kept(graph: _Graph, node: Node) -> None:
    """A mean that is reshaped to have the dimensions again that it went over keeps them itself."""
    mean = graph.maker(node) if node.op == "RESHAPE" else None
    if mean is None or mean.op not in ("MEAN", "REDUCE_MAX") or graph.only(mean) is not node:
        return
    source, shape = mean.inputs[0], node.output.shape
    assert isinstance(source, Value)
    if mean.options.get("keep_dims") or len(shape) != len(source.shape):
        return
    if shape == (*(1,) * (len(shape) - 1), source.shape[-1]):
        mean.options["keep_dims"] = True
        graph.absorb(mean, node)
        if source.shape == shape and id(mean.output) not in graph.outputs:
            graph.drop(mean, source)


def _mean_left_out(graph: _Graph, node: Node) -> None:
    """A mean whose result is reshaped to be without the dimensions that it went over does that.

    The converter tells them by the extents that are not 1.
    """
    mean = graph.maker(node) if node.op == "RESHAPE" else None
    if mean is None or mean.op != "MEAN" or graph.only(mean) is not node:
        return
    axes = mean.inputs[1]
    assert isinstance(axes, Const)
    left = [each for axis, each in enumerate(mean.output.shape) if axis not in axes.values]
    if mean.options.get("keep_dims") and tuple(left) == node.output.shape and prod(left) > 1:
        mean.options["keep_dims"] = False
        graph.absorb(mean, node)


def _unreshaped(graph: _Graph, node: Node) -> bool:
    """What was reshaped only to have as many dimensions as the other operand is taken as it is."""
    if len(node.inputs) != 2 or not all(isinstance(each, Value) for each in node.inputs):
        return False
    for position in (0, 1):
        reshape, other = graph.maker(node, position), node.inputs[1 - position]
        assert isinstance(other, Value)
        if reshape is None or reshape.op != "RESHAPE" or other is reshape.output:
            continue
        source, shape = reshape.inputs[0], reshape.output.shape
        assert isinstance(source, Value)
        fits = len(source.shape) <= len(shape) <= len(other.shape) <= _MOST_DIMENSIONS
        if fits and _is_reduced_tail(shape, source.shape) and _is_for_arithmetic(graph, reshape):
            graph.feed(node, position, source)
            if not graph.users.get(id(reshape.output)) and id(reshape.output) not in graph.outputs:
                graph.remove(reshape)
            return True
    return False


def _is_reduced_tail(tail: Shape, shape: Shape) -> bool:
    """Whether ``shape`` ends as ``tail`` does behind its leading extents of 1."""
    first = next((number for number, each in enumerate(tail) if each != 1), len(tail))
    reduced = tail[first:]
    return bool(reduced) and shape[-len(reduced) :] == reduced


def _is_for_arithmetic(graph: _Graph, node: Node) -> bool:
    """Whether one node takes a result, or nothing but arithmetic does."""
    users = graph.users.get(id(node.output), [])
    if id(node.output) in graph.outputs:
        return False
    return len(users) == 1 or all(each.op in _ARITHMETIC for each in users)


def _transposed_twice(graph: _Graph, node: Node) -> bool:
    """Two transpositions in a row are one, or nothing."""
    before = graph.maker(node) if node.op == "TRANSPOSE" else None
    if before is None or before.op != "TRANSPOSE" or graph.only(before) is not node:
        return False
    first, second = before.inputs[1], node.inputs[1]
    source = before.inputs[0]
    assert isinstance(first, Const)
    assert isinstance(second, Const)
    assert isinstance(source, Value)
    order = tuple(first.values[each] for each in second.values)
    graph.feed(node, 0, source)
    graph.remove(before)
    moved = [each for each in order if source.shape[each] > 1]
    if moved == sorted(moved):  # only extents of 1 change their places
        node.op = "RESHAPE"
        order = node.output.shape
    node.inputs[1] = Const("ints", (len(order),), values=order)
    return True


def _hoisted_pair(graph: _Graph, node: Node) -> bool:
    """Arithmetic of two equal reshapes goes before them."""
    if node.op not in _OF_TWO or not all(isinstance(each, Value) for each in node.inputs):
        return False
    one, other = graph.maker(node, 0), graph.maker(node, 1)
    if one is None or other is None or {one.op, other.op} != {"RESHAPE"}:
        return False
    if one is other:
        return _hoisted_twin(graph, one, node)
    if graph.only(one) is not node or graph.only(other) is not node:
        return False
    first, second = one.inputs[0], other.inputs[0]
    assert isinstance(first, Value)
    assert isinstance(second, Value)
    if first.shape != second.shape:
        return False
    turned = [graph.makers.get(id(each)) for each in (first, second)]
    is_series = graph.traced and all(each and each.op == "TRANSPOSE" for each in turned)
    is_squeezed = one.squeeze and other.squeeze
    if graph.traced and not (is_series or graph.is_final):
        return False  # what is between may still move
    if len(first.shape) != len(one.output.shape) and not (is_squeezed or is_series):
        raise NotPlannedError(
            f"layer {node.label}: not planned: two reshaped values that meet again"
        )
    graph.feed(node, 1, second)
    graph.remove(other)
    return _swap(graph, one, node)


def _hoisted_twin(graph: _Graph, reshape: Node, node: Node) -> bool:
    """Arithmetic of a reshape with itself goes before it, if nothing else takes it."""
    users = graph.users[id(reshape.output)]
    source = reshape.inputs[0]
    assert isinstance(source, Value)
    if (
        graph.traced
        or id(reshape.output) in graph.outputs
        or any(each is not node for each in users)
    ):
        return False
    if len(source.shape) != len(reshape.output.shape) and not reshape.squeeze:
        text = "a reshaped value that meets itself again"
        raise NotPlannedError(f"layer {node.label}: not planned: {text}")
    graph.feed(node, 1, source)
    return _swap(graph, reshape, node)


def _flat(graph: _Graph, node: Node) -> bool:
    """A dense layer takes what has more dimensions as it is."""
    reshape = graph.maker(node) if node.op == "FULLY_CONNECTED" else None
    if reshape is None or reshape.op != "RESHAPE" or node.options.get("keep_num_dims"):
        return False
    wide = reshape.inputs[0]
    assert isinstance(wide, Value)
    if graph.traced and prod(wide.shape) == 1 and len(wide.shape) != len(reshape.output.shape):
        return False  # litert-torch tells the row by the extents that are not 1
    is_row = len(reshape.output.shape) == 2 or (graph.is_final and not graph.traced)
    if not is_row or wide.shape[-1] != reshape.output.shape[-1]:
        return False
    graph.feed(node, 0, wide)
    if not graph.users.get(id(reshape.output)) and id(reshape.output) not in graph.outputs:
        graph.remove(reshape)
    return True


def _reshaped_behind(graph: _Graph, node: Node) -> bool:
    """A dense layer over the last dimension takes what a reshape is given, if that has the same.

    The reshape comes behind it, once: what came behind another one stays. The layer keeps the
    dimensions unless something that changes each number by itself is right behind it.
    """
    reshape = graph.maker(node) if node.over_last else None
    if reshape is None or not node.options.get("keep_num_dims"):
        return False
    if reshape.op != "RESHAPE" or reshape.squeeze or reshape.squeezed or reshape.has_moved:
        return False
    if any(came_before for _, _, came_before in node.folds):  # it was between them
        return False
    wide, units = reshape.inputs[0], node.output.shape[-1]
    assert isinstance(wide, Value)
    if wide.shape[-1] != reshape.output.shape[-1] or graph.only(reshape) is not node:
        return False
    moving = [node]
    while (user := graph.only(moving[-1])) is not None and user.op in _MOVED:
        moving.append(user)
    shape: Shape = (*wide.shape[:-1], units)
    if len(moving) > 1:
        shape = (prod(shape[:-1]), units)
        del node.options["keep_num_dims"]
    graph.feed(node, 0, wide)
    graph.remove(reshape)
    last = moving[-1]
    result = last.output
    for each in moving[:-1]:
        each.output.shape = shape
    last.output = Value(shape)
    target = Const("ints", (len(result.shape),), values=result.shape)
    behind = Node("RESHAPE", reshape.name, [last.output, target], result, label=node.label)
    behind.place, behind.has_moved = last.place + _NEXT, True
    graph.makers |= {id(last.output): last, id(result): behind}
    graph.users[id(last.output)] = [behind]
    graph.nodes.insert(graph.nodes.index(last) + 1, behind)
    return True


def _keeps(graph: _Graph, node: Node) -> bool:
    """A dense layer over several dimensions keeps them if its result is reshaped anyway."""
    behind = graph.only(node) if node.over_last else None
    if behind is None or behind.op != "RESHAPE" or node.options.get("keep_num_dims"):
        return False
    source = node.inputs[0]
    assert isinstance(source, Value)
    shape = (*source.shape[:-1], node.output.shape[-1])
    if len(shape) == len(node.output.shape) or shape == behind.output.shape:
        return False
    node.options["keep_num_dims"] = True
    node.output.shape = shape
    behind.squeeze, behind.has_moved = False, True
    return True


def _is_reshaped(graph: _Graph, node: Node) -> bool:
    user = graph.only(node)
    return user is not None and user.op == "RESHAPE"


def _keeps_before(graph: _Graph, node: Node) -> bool:
    """A dense layer over several dimensions keeps them in front of a reshape."""
    before = graph.maker(node)
    return before is not None and _keeps(graph, before)


def _moved_before(graph: _Graph, node: Node) -> bool:
    """A reshape behind a dense layer that is behind another one comes before the layer.

    So ``MoveReshapeAfterFullyConnected`` does it, where the last dimension stays.
    """
    dense, shape = graph.maker(node), node.output.shape
    if dense is None or dense.op != "FULLY_CONNECTED" or graph.only(dense) is not node:
        return False
    reshape = graph.maker(dense)
    if reshape is None or reshape.op != "RESHAPE":
        return False
    if len(shape) < 2 or shape[-1] != dense.output.shape[-1]:
        return False
    source = reshape.inputs[0]
    assert isinstance(source, Value)
    wide: Shape = (*shape[:-1], reshape.output.shape[-1])
    made = Value(wide)
    target = Const("ints", (len(wide),), values=wide)
    moved = Node("RESHAPE", node.name, [source, target], made, label=node.label)
    moved.place, moved.names = reshape.place, node.names
    graph.makers[id(made)] = moved
    graph.users[id(source)].append(moved)
    graph.nodes.insert(graph.nodes.index(dense), moved)
    graph.feed(dense, 0, made)
    dense.options["keep_num_dims"] = True
    if not graph.users.get(id(reshape.output)) and id(reshape.output) not in graph.outputs:
        graph.remove(reshape)
    graph.absorb(dense, node)
    return True


def _copied(graph: _Graph, node: Node) -> None:
    """A ReLU behind a dense layer that others take too becomes that layer once more, with it.

    ``FuseFullyConnectedAndReluX`` does not ask who else takes the layer.
    """
    dense = graph.maker(node) if node.op in _FUSED else None
    if dense is None or dense.op != "FULLY_CONNECTED" or dense.activation != "NONE":
        return
    source = next(dense.values())  # type: ignore[call-overload]
    graph.feed(node, 0, source)
    if not graph.users.get(id(dense.output)) and id(dense.output) not in graph.outputs:
        graph.remove(dense)
    else:
        node.copied_from = dense
    node.activation, node.op = _FUSED[node.op], dense.op
    node.inputs, node.options = list(dense.inputs), dict(dense.options)
    node.folds, node.over_last = list(dense.folds), dense.over_last


def _kept(graph: _Graph, node: Node) -> bool:
    """A dense layer whose result is reshaped as its input was gives it that shape itself."""
    before = graph.maker(node) if node.op == "RESHAPE" else None
    if before is None or before.op != "FULLY_CONNECTED" or graph.only(before) is not node:
        return False
    source = before.inputs[0]
    assert isinstance(source, Value)
    if len(source.shape) < 3 or source.shape[:-1] != node.output.shape[:-1]:
        return False
    before.options["keep_num_dims"] = True
    graph.absorb(before, node)
    return True


def _wide(graph: _Graph, node: Node) -> bool:
    """A dense layer between two reshapes takes the shape of the second from the first."""
    before = graph.maker(node) if node.op == "RESHAPE" else None
    if before is None or not before.options.get("keep_num_dims") or graph.only(before) is not node:
        return False
    reshape = graph.maker(before)
    if reshape is None or reshape.op != "RESHAPE":
        return False
    if node.output.shape[-1] != before.output.shape[-1]:
        return False
    behind = graph.only(node)
    if behind is not None and behind.op in (_FIRST if node.has_moved else ("RESHAPE",)):
        return False
    source = reshape.inputs[0]
    assert isinstance(source, Value)
    wide = (*node.output.shape[:-1], reshape.output.shape[-1])
    if source.shape == wide:
        graph.feed(before, 0, source)
        if not graph.users.get(id(reshape.output)) and id(reshape.output) not in graph.outputs:
            graph.remove(reshape)
    elif graph.only(reshape) is before:
        reshape.output.shape = wide
        reshape.inputs[1] = Const("ints", (len(wide),), values=wide)
        reshape.squeeze = False
    else:
        return False
    graph.absorb(before, node)
    return True


def _all_folded(graph: _Graph, node: Node) -> bool:
    """All arithmetic with constants before weights goes into them, before anything else happens."""
    changed = False
    while _folded(graph, node):
        changed = True
    return changed


def _folded(graph: _Graph, node: Node) -> bool:
    """Arithmetic with a constant goes into the weights behind it."""
    before = graph.maker(node) if node.op in _FOLDS else None
    if before is None or before.activation != "NONE":
        return False
    constant = _constant(before) if before.op in (*_SUMS, "MUL") else None
    if constant is None or constant.kind == "ints":
        return False
    is_from = before.op == "SUB" and before.inputs[0] is constant
    if graph.traced and (is_from or before.is_dense or len(constant.shape) > 1):
        return False
    if constant.shape and not _may_take(graph, before, node):
        return False
    if prod(constant.shape) != 1 and (node.op != "FULLY_CONNECTED" or len(constant.shape) > 1):
        return False
    if not _is_taken(graph, before, node):
        return False
    source = next(iter(before.values()))
    node.names += before.names
    node.folds.append((before.op, constant, True))
    graph.feed(node, 0, source)
    if not graph.users.get(id(before.output)) and id(before.output) not in graph.outputs:
        graph.remove(before)
    return True


def _may_take(graph: _Graph, before: Node, node: Node) -> bool:
    """Whether ``node`` takes in arithmetic with a vector, whoever else takes its result."""
    maker = graph.maker(before)
    if graph.only(before) is node and before.op != "BIAS":
        return True
    if node.op != "FULLY_CONNECTED":
        return False
    if maker is None or maker.op not in _WEIGHTED or graph.only(maker) is not before:
        return True
    if before.op == "MUL" and maker.op == "FULLY_CONNECTED":
        return True
    if graph.only(before) is node:
        return False  # it becomes a part of what computes that
    return maker.activation != "NONE" or _is_shared(graph, before)


def _is_taken(graph: _Graph, before: Node, node: Node) -> bool:
    """Whether the weights of ``node`` take in arithmetic with a constant, or its bias does."""
    if before.op == "MUL":
        return True
    if node.op == "FULLY_CONNECTED":
        return node.inputs[-1] is not None and not _loses_bias(graph, node)
    return bool(node.options["padding"] == "VALID")


def _hoisted_over_transposes(graph: _Graph, node: Node) -> bool:
    """Arithmetic of two transposes of the same order goes before them, if one is for it alone."""
    if len(node.inputs) != 2 or not all(isinstance(each, Value) for each in node.inputs):
        return False
    one, other = graph.maker(node, 0), graph.maker(node, 1)
    if one is None or other is None or one is other or {one.op, other.op} != {"TRANSPOSE"}:
        return False
    alone = [position for position, each in enumerate((one, other)) if graph.only(each) is node]
    if not alone:
        return False
    if not _same_operand(one.inputs[1], other.inputs[1]) or one.output.shape != other.output.shape:
        return False
    moved, left = (one, other) if alone[0] == 0 else (other, one)
    source = left.inputs[0]
    assert isinstance(source, Value)
    graph.feed(node, 1 - alone[0], source)
    if not graph.users.get(id(left.output)) and id(left.output) not in graph.outputs:
        graph.remove(left)
    return _swap(graph, moved, node, alone[0])


def _move_biases(graph: _Graph) -> None:
    """A dense layer's bias goes into that of the dense layer right behind it, the last first."""
    for node in sorted(graph.nodes, key=lambda each: each.place, reverse=True):
        if graph.traced and node.op == "FULLY_CONNECTED" and len(node.folds) == 1:
            node.bias_is_last = node.folds[0][0] == "BIAS"  # reshapes between them are gone
        if _moves_bias(graph, node):
            behind, bias = _behind(graph, node), node.inputs[-1]
            assert behind is not None
            assert isinstance(bias, Const)
            if not any(op == "BIAS" for op, _, _ in node.folds):  # it has come with the layer
                node.folds.insert(0, ("BIAS", bias, False))
            behind.bias_from = node
            node.inputs[-1] = None


def _check_steps(graph: _Graph, node: Node) -> None:
    """Refuse steps of a transposed convolution that several dense layers take, with its bias."""
    behind = graph.only(node) if node.op == "TRANSPOSE_CONV" else None
    if behind is None or behind.op != "RESHAPE" or not behind.squeeze or node.inputs[-1] is None:
        return
    users = graph.users.get(id(behind.output), [])
    if len(users) > 1 and any(each.op == "FULLY_CONNECTED" for each in users):
        text = "a transposed convolution's steps that several layers take"
        raise NotPlannedError(f"layer {node.label}: not planned: {text}")


def _loses_bias(graph: _Graph, node: Node) -> bool:
    """Whether the bias of ``node`` moves, where the last of dense layers in a row moves first."""
    count = 0
    while _moves_bias(graph, node):
        behind = _behind(graph, node)
        assert behind is not None
        node, count = behind, count + 1
    return count % 2 == 1


def _moves_bias(graph: _Graph, node: Node) -> bool:
    """Whether the bias of ``node`` becomes a part of that of the dense layer behind it."""
    if node.op not in _GIVES_BIAS or node.inputs[-1] is None or node.activation != "NONE":
        return False
    behind = _behind(graph, node)
    return (
        node.bias_is_last
        and behind is not None
        and behind.op == "FULLY_CONNECTED"
        and behind.inputs[-1] is not None
        and (graph.traced or not _is_rectified(graph, behind))
    )


def _behind(graph: _Graph, node: Node) -> Node | None:
    """The one user of a node's result, where that is a reshape that has come there, its own.

    The bias of a transposed convolution over steps is added behind the reshape that makes steps of
    its image: a dense layer takes it from there.
    """
    behind = graph.only(node)
    if behind is None or behind.op != "RESHAPE":
        return behind
    passes = behind.has_moved or (node.op == "TRANSPOSE_CONV" and behind.squeeze)
    return graph.only(behind) if passes else behind


def _constant(node: Node) -> Const | None:
    found = [each for each in node.inputs if isinstance(each, Const)]
    return found[0] if len(node.inputs) == 2 and found else None


def _fused(graph: _Graph, node: Node) -> bool:
    """A node becomes a part of the one before it."""
    before = graph.maker(node) if isinstance(node.inputs[0], Value) else None
    if before is None or graph.only(before) is not node:
        return False
    if node.op in _FUSED:
        if graph.traced and node.op in (before.op, before.activation):
            graph.absorb(before, node)
            return True
        if before.activation != "NONE":
            return False
        if before.op == "BIAS" and not graph.traced:
            maker = graph.maker(before)
            if maker is None or graph.only(maker) is before:
                return False  # it becomes a part of what computes its operand first
            before.op = "ADD"
        elif before.op not in _ACTIVE:
            return False
        if before.op == "TRANSPOSE_CONV" and not (node.is_behind_sum or graph.traced):
            return False  # it comes with its bias
        before.activation = _FUSED[node.op]
        graph.absorb(before, node)
        return True
    if before.op not in _WEIGHTED or before.activation != "NONE":
        return False
    channels = before.output.shape[-1]
    constant = _constant(node)
    if constant is None or constant.kind == "ints" or _is_shared(graph, node):
        return False
    if graph.traced and node.op == "SUB" and node.inputs[0] is constant:
        return False
    if before.op == "FULLY_CONNECTED" and _leads_to_shared(graph, node):
        return False  # only convolutions take in products before anything else happens
    is_over_channels = constant.shape[-1:] in ((), (1,), (channels,)) and prod(constant.shape) in (
        1,
        channels,
    )
    if node.op in ("BIAS", "ADD", "SUB") and is_over_channels:
        _give_bias(before, channels)
        of_steps = before.op == "TRANSPOSE_CONV"
        # litert-torch's numbers are added to the bias before that is.
        is_whole = bool(constant.shape) or (graph.traced and node.op == "ADD")
        before.bias_is_last = is_whole and (
            _is_before_dense(graph, node, of_steps) or (before.over_last and node.bias_is_last)
        )
    elif node.op != "MUL" or not is_over_channels:
        return False
    before.folds.append((node.op, constant, False))
    graph.absorb(before, node)
    return True


def _summed(graph: _Graph, node: Node) -> bool:
    """Two sums with constants in a row are one."""
    before = graph.maker(node) if _constant(node) is not None and not graph.traced else None
    if before is None or before.op != "ADD" or before.activation != "NONE":
        return False
    first, second = _constant(before), _constant(node)
    if first is None or second is None or graph.only(before) is not node:
        return False
    if first.shape and second.shape and first.shape != second.shape:
        return False
    source = before.inputs[0]
    assert isinstance(source, Value)
    graph.feed(node, 0, source)
    graph.remove(before)
    node.inputs[1] = Const("values", first.shape or second.shape)
    node.names += before.names
    return True


def _swished(graph: _Graph, node: Node) -> bool:
    """A value by its hard sigmoid is a hard swish, unless a ReLU is right behind it."""
    if len(node.inputs) != 2 or graph.traced or node.activation != "NONE":
        return False
    return any(_is_swish(graph, node, position) for position in (1, 0))


def _is_swish(graph: _Graph, node: Node, position: int) -> bool:
    """Make a product a hard swish, if the operand at ``position`` is the hard sigmoid."""
    sixth, source = graph.maker(node, position), node.inputs[1 - position]
    if sixth is None or not sixth.is_sixth or sixth.activation != "NONE":
        return False
    shifted = graph.maker(sixth)
    while shifted is not None and shifted.op == "RELU6":
        shifted = graph.maker(shifted)
    if shifted is None or shifted.op != "ADD" or shifted.inputs[0] is not source:
        return False
    behind = graph.only(node)
    if behind is not None and behind.op in _FUSED:
        return False
    assert isinstance(source, Value)
    node.op, node.inputs = "HARD_SWISH", [source]
    unused = sixth
    graph.users[id(sixth.output)].remove(node)
    while not graph.users.get(id(unused.output)) and id(unused.output) not in graph.outputs:
        before = graph.maker(unused)
        graph.remove(unused)
        if unused is shifted or before is None:
            break
        unused = before
    return True


def _is_before_dense(graph: _Graph, node: Node, of_steps: bool = False) -> bool:
    """Whether a dense layer alone takes a result, ``of_steps`` behind the reshape to these."""
    behind = graph.only(node)
    if of_steps and behind is not None and behind.op == "RESHAPE" and behind.squeeze:
        behind = graph.only(behind)
    return behind is not None and behind.op == "FULLY_CONNECTED"


def _give_bias(node: Node, channels: int) -> None:
    if node.inputs[-1] is None:
        node.inputs[-1] = Const("bias", (channels,))


#: In the order in which they are tried, and the operators that each is about; none: any.
_ORDER: tuple[tuple[_Rule, frozenset[str]], ...] = (
    (_without_reshape, frozenset({"RESHAPE"})),
    (_swished, frozenset({"MUL"})),
    (_summed, frozenset({"ADD"})),
    (_shared, frozenset()),
    (_padded, frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})),
    (_transposed_twice, frozenset({"TRANSPOSE"})),
    (_hoisted, frozenset({"BIAS", *_FUSED, *_ARITHMETIC, *_MOVED})),
    (_hoisted_pair, _OF_TWO),
    (_unreshaped, _ARITHMETIC),
    (_flat, frozenset({"FULLY_CONNECTED"})),
    (_fused, _TAKEN),
    (_all_folded, _FOLDS),
)


def _by_operator(*rules: tuple[_Rule, frozenset[str]]) -> dict[str, tuple[_Rule, ...]]:
    """The rules for each operator, and under the empty name those for all others."""
    names = frozenset({""}).union(*(about for _, about in rules))
    return {
        name: tuple(rule for rule, about in rules if not about or name in about) for name in names
    }


_RULES = _by_operator(*_ORDER)
#: litert-torch puts transposes around what it computes with channels last.
_TRACED_RULES = _by_operator(
    *_ORDER,
    (_wide, frozenset({"RESHAPE"})),
    (_untransposed, frozenset({"TRANSPOSE"})),
    (_hoisted_over_transpose, _MOVED.union(_FUSED)),
    (_hoisted_over_transposes, _OF_TWO),
)
#: Those that begin when nothing else changes any more (``OptimizePass::runOnOperation``).
_SECOND_RULES = _by_operator(
    *_ORDER,
    (_kept, frozenset({"RESHAPE"})),
    (_moved_before, frozenset({"RESHAPE"})),
    (_keeps_before, frozenset({"RESHAPE"})),
)
_LAST_RULES = _by_operator(*_ORDER, (_kept, frozenset({"RESHAPE"})))
