"""A plan that takes over what one of other sizes became is the plan that is made anew."""

from __future__ import annotations

import random
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_tinybudget.base import remembered
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.fitting.search import _parameters
from pytest_tinybudget.graph.kinds import KINDS
from pytest_tinybudget.graph.kinds import alike_in
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import LayerList
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import lowering
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning import sized
from pytest_tinybudget.planning.bounds import bytes_of_names
from pytest_tinybudget.planning.sized import sized_model
from pytest_tinybudget.planning.symbols import Trace
from pytest_tinybudget.planning.symbols import UntracedError
from tests.test_quick import random_network


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken over from other tests, and kinds of equal content have one number."""
    sized._known.clear()
    sized._layers.clear()  # whose numbers may be of before the last time that all were forgotten
    monkeypatch.setattr(remembered, "MOST_KEPT", 10**9)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plans that were made anew, so far."""
    found: list[str] = []

    def planned(planned: Network, name: str, *, named: bool) -> Model:
        found.append(name)
        return planned_model(planned, name, named=named)

    monkeypatch.setattr(sized, "planned_model", planned)
    return found


def of_sizes(layers: tuple[Layer, ...], sizes: Iterator[int]) -> tuple[Layer, ...]:
    return tuple(
        replace(each, size=next(sizes)) if each.type in sized._SIZED else each for each in layers
    )


def made(make: Callable[..., Model], network: Network | LayerList, *, named: bool) -> Model | str:
    """The plan, or why there is none."""
    try:
        return make(network, "plan", named=named)
    except ModelError as error:
        return error.message


def same(network: Network | LayerList, *, named: bool = True) -> bool:
    """Hold both ways to each other; whether there is a plan at all."""
    anew, taken_over = (made(make, network, named=named) for make in (planned_model, sized_model))
    if isinstance(anew, str) or isinstance(taken_over, str):
        assert anew == taken_over
        return False
    assert taken_over.subgraphs == anew.subgraphs
    for key in ("named", "names", KINDS):
        assert taken_over.derived[key] == anew.derived[key]
    assert taken_over.bytes == anew.bytes
    # What the plans of all sizes share is what each alone has.
    assert bytes_of_names(taken_over) == bytes_of_names(anew)
    assert _parameters(taken_over) == _parameters(anew)
    shared = alike_in(anew)
    assert set(shared) == {"bytes of names", "names in the file", "learned"}
    assert {key: alike_in(taken_over)[key] for key in shared} == shared
    return True


def random_sizes(rng: random.Random) -> Iterator[int]:
    """Often 1, and often the same: these decide what the converter does."""
    few = rng.choices((1, 2, 3, 4, 8, 12, 16, 17, 40), k=3)
    while True:
        yield rng.choice(few) if rng.random() < 0.9 else rng.choice((1, 5, 6, 7))


def held_to_each_other(seed: int, networks: int) -> int:
    """So many random networks in eight sizes each; how many plans there were."""
    rng, plans = random.Random(seed), 0
    for _ in range(networks):
        network = random_network(rng)
        traced = network.numbers == "int8" and rng.random() < 0.2
        network = replace(network, traced=traced)
        if not same(network):
            continue
        for _ in range(8):
            plans += same(replace(network, layers=of_sizes(network.layers, random_sizes(rng))))
    return plans


def test_plans_of_random_networks_and_sizes_are_those_made_anew(anew: list[str]) -> None:
    plans = held_to_each_other(22, 120)
    assert plans > 150
    assert len(anew) < plans


@pytest.mark.campaign
def test_plans_of_many_random_networks_and_sizes_are_those_made_anew(anew: list[str]) -> None:
    plans = held_to_each_other(2207, 2500)
    assert len(anew) < plans


def conv(name: str = "", **settings: Any) -> Layer:
    return Layer("conv2d", padding="same", name=name, **settings)


#: Networks in which sizes decide what becomes of them.
DECIDED_BY_SIZES = {
    "a row of one number": (Layer("dense"), Layer("dense", activation="relu"), Layer("dense")),
    "a dense layer over the last dimension": (
        Layer("reshape", shape=(4, -1)), Layer("dense", name="a"), Layer("dense", bias=False),
    ),
    "a reshape to the shape that it has": (conv(), Layer("reshape", shape=(8, 8, -1))),
    "a sum of maps with one channel or several": (
        conv("a"), conv("b", inputs=("a",)), Layer("add", inputs=("a", "b")), conv(),
    ),
    "a permutation of ones": (conv(), Layer("permute", shape=(3, 1, 2)), conv()),
    "a normalization": (
        conv(bias=False), Layer("batch_norm"), Layer("activation", activation="relu"),
    ),
    "two reshapes": (conv(), Layer("flatten"), Layer("dense"), Layer("reshape", shape=(-1, 1))),
    "two equal reshapes that meet again": (
        conv("a"), conv("b"), Layer("flatten", inputs=("a",), name="c"),
        Layer("flatten", inputs=("b",), name="d"), Layer("maximum", inputs=("c", "d")),
    ),
    "transposed convolutions, whose target is a constant": (
        Layer("conv2d_transpose"), Layer("conv2d_transpose", stride=2, padding="same"),
    ),
    "one-dimensional convolutions": (
        Layer("reshape", shape=(8, 8)), Layer("conv1d", padding="causal"),
        Layer("separable_conv1d"),
    ),
    "maps side by side": (
        conv("a"), conv("b"), Layer("concatenate", inputs=("a", "b")), Layer("layer_norm"),
    ),
    "attention": (
        Layer("reshape", shape=(8, 8)), Layer("dense"),
        Layer("multi_head_attention", size=2, heads=2), Layer("dense"),
    ),
    "a depthwise convolution": (conv(), Layer("depthwise_conv2d", size=2), conv()),
    "an lstm whose outputs are requantized": (
        Layer("reshape", shape=(8, 8), name="x_1"),
        Layer("lstm", size=3, sequences=True, name="a"),
        Layer("dense", name="b", inputs=("x_1",)), Layer("concatenate", inputs=("a", "b")),
        Layer("dense"),
    ),
    "an lstm": (
        Layer("reshape", shape=(8, 8)), Layer("dense"), Layer("lstm", size=3), Layer("dense"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("numbers", ["int8", "int16", "float"])
@pytest.mark.parametrize("name", DECIDED_BY_SIZES)
def test_sizes_decide_for_each_plan_anew(name: str, numbers: Any) -> None:
    layers = DECIDED_BY_SIZES[name]
    sizes = ((3, 5, 4), (3, 5, 4), (1, 1, 1), (3, 3, 3), (1, 3, 3), (3, 1, 3), (8, 8, 8), (4, 6, 1))
    for each in sizes:
        changed = of_sizes(layers, iter((*each, *each)))
        same(Network((("x", (8, 8, 1)),), changed, numbers=numbers, flattens=True), named=False)
        same(Network((("x", (8, 8, 1)),), changed, numbers=numbers, per_channel_dense=False))


def three(*sizes: int) -> LayerList:
    """Two convolutions, whose biases are made for them, and a dense layer."""
    layers = (conv(bias=False), conv(bias=False, activation="relu"), Layer("dense"))
    return LayerList((8, 8, 1), of_sizes(layers, iter(sizes)))


def test_the_third_plan_of_the_same_layers_is_not_made_anew(anew: list[str]) -> None:
    sized_model(three(4, 5, 6), "first")
    sized_model(three(5, 6, 7), "second")
    third = sized_model(three(6, 7, 8), "third", named=True)
    assert anew == ["first", "second"]
    assert third.name == "third"
    assert third.bytes == len(third.content)


def test_biases_of_one_length_share_a_buffer_as_they_do_made_anew(anew: list[str]) -> None:
    for sizes in ((4, 5, 6), (5, 6, 7), (8, 8, 8), (8, 9, 8), (9, 8, 8)):
        model = sized_model(three(*sizes), "plan")
        made = planned_model(three(*sizes), "plan")
        biases = [each for each in model.main.tensors if each.name.startswith("conv2d")]
        biases = [each for each in biases if each.name.endswith("bias")]
        assert len({each.buffer for each in biases}) == len(set(sizes[:2]))
        assert model.bytes == made.bytes == len(made.content)
    assert len(anew) == 2


def test_a_layer_that_no_longer_fits_is_refused_as_it_is_made_anew() -> None:
    layers = (conv("a"), conv("b", inputs=("a",)), Layer("add", inputs=("a", "b")))
    for sizes in ((4, 4), (5, 5)):
        sized_model(LayerList((8, 8, 1), of_sizes(layers, iter(sizes))), "plan")
    with pytest.raises(ModelError, match="its inputs do not fit"):
        sized_model(LayerList((8, 8, 1), of_sizes(layers, iter((4, 5)))), "plan")


def test_what_a_trace_cannot_follow_is_made_anew(
    anew: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: Callable[..., Any] = lowering.LOWERINGS["dense"]

    def looks(low: lowering.Lowering, given: Any) -> Any:
        assert list(range(low.layer.size))
        return known(low, given)

    monkeypatch.setitem(lowering.LOWERINGS, "dense", looks)
    for size in (3, 4, 5):
        assert sized_model(three(size, 4, 4), "plan").subgraphs
    assert len(anew) == 3


def test_a_trace_computes_and_asks_again_for_other_sizes() -> None:
    trace = Trace([6, 4])
    first: Any
    second: Any
    first, second = trace.sizes
    shape = (-(-first // 4), 2 * second + 1, first - second, 7 - first)
    assert first > second
    assert not second >= first
    assert shape[0] != 3
    steps, (places,) = trace.finished([shape])
    for one, other in ((6, 4), (8, 2), (3, 1)):
        values = steps.values([one, other])
        assert values is not None
        assert [values[at] for at in places] == [-(-one // 4), 2 * other + 1, one - other, 7 - one]
    assert steps.values([4, 6]) is None
    assert steps.values([12, 4]) is None


@pytest.mark.parametrize(
    "use", [hash, int, float, range, repr, "{}".format, bin, lambda it: it / 2, lambda it: it**2,
            lambda it: 6 // it, lambda it: it % 2, lambda it: it == "4", lambda it: it + 0.5]
)  # fmt: skip
def test_a_symbol_is_never_taken_for_its_number_unnoticed(use: Callable[[Any], object]) -> None:
    (size,) = Trace([4]).sizes
    with pytest.raises(UntracedError):
        use(size)
