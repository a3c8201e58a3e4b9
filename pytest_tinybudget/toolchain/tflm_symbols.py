"""TFLM in a symbol table: what any firmware calls, and the registration of each operator."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.toolchain.archive import ObjectFile
from pytest_tinybudget.toolchain.elf import UNDEFINED


#: What every TFLM firmware refers to, whatever its operators (arguments differ by version).
_TFLM_CORE = tuple(
    re.compile(rf"_ZNK?6tflite16MicroInterpreter{member}\w*\Z")
    for member in ("C[12]E", "5inputE", "6outputE", "15AllocateTensorsEv", "6InvokeEv")
)
_TFLM_VARIABLES = (
    re.compile(r"_ZN6tflite14MicroAllocator6CreateE\w*\Z"),
    re.compile(r"_ZN6tflite22MicroResourceVariables6CreateE\w*\Z"),
)
#: What the resolver's template, compiled with the firmware, refers to.
_RESOLVER = ("strcmp",)
#: What an empty program has already, so that it is not counted as TFLM's.
BASELINE = ("memcpy", "memset", "__libc_init_array")

#: Parsers that do not follow the resolver method's name, TFLM 90b983c2.
_PARSERS = {
    "AVERAGE_POOL_2D": "ParsePool", "MAX_POOL_2D": "ParsePool", "L2_POOL_2D": "ParsePool",
    "MEAN": "ParseReducer", "SUM": "ParseReducer", "REDUCE_ALL": "ParseReducer",
    "REDUCE_MAX": "ParseReducer", "REDUCE_MIN": "ParseReducer", "CUMSUM": "ParseCumsum",
}  # fmt: skip
_CUSTOM_FUNCTIONS = {"ethos-u": "Register_ETHOSU"}


class OperatorSymbols(Struct, frozen=True):
    """The symbols that registering one operator refers to; ``typed`` by ``"INT8"`` and so on."""

    custom: bool
    symbols: tuple[str, ...]
    typed: Mapping[str, tuple[str, ...]]


#: What TFLM prints its messages with, where they are not stripped.
_PRINTS = re.compile(r"_Z11MicroPrintfPKcz\Z|_ZN6tflite13ErrorReporter6ReportE")


def has_log_strings(item: ObjectFile) -> bool:
    """Whether an object of TFLM prints messages: TF_LITE_STRIP_ERROR_STRINGS leaves no call."""
    return any(
        symbol.section == UNDEFINED and _PRINTS.match(symbol.name) for symbol in item.symbols
    )


class Roots:
    """Symbols that firmware refers to besides its operators: given ones, by default TFLM's.

    Raises:
        TinybudgetError: a given symbol is in no input, or there is no TFLM either.
    """

    def __init__(
        self, available: Mapping[str, None], core: Sequence[str], baseline: Sequence[str]
    ) -> None:
        for symbol in core:
            if symbol not in available:
                raise TinybudgetError(f"--core {symbol}: no input defines this symbol")
        self.is_tflm = not core
        self.core = tuple(core) or _matching(available, _TFLM_CORE)
        if self.is_tflm and self.core:
            self.core += tuple(symbol for symbol in _RESOLVER if symbol in available)
        self.variables = _matching(available, _TFLM_VARIABLES)
        self.baseline = tuple(symbol for symbol in baseline if symbol in available)
        if not self.core:
            raise TinybudgetError(
                "no input defines tflite::MicroInterpreter: give TFLM's archive, or name what "
                "firmware calls with --core SYMBOL"
            )


def _matching(available: Iterable[str], patterns: Sequence[re.Pattern[str]]) -> tuple[str, ...]:
    """For each pattern the first symbol that it matches (constructors come in two copies)."""
    found = (
        next((symbol for symbol in available if pattern.match(symbol)), None)
        for pattern in patterns
    )
    return tuple(symbol for symbol in found if symbol is not None)


#: The outermost namespace of TFLM.
_NAMESPACE = "tflite"
_DEMANGLED = re.compile(r"tflite::((?:\w+::)*)(Register_\w+)\(\)\Z")
_FUNCTION = re.compile(r"(Register_\w+|Parse[A-Z]\w*)\Z")


def _tflm_function(symbol: str) -> tuple[str, int] | None:
    """The name of a registration or a parser of TFLM, and in how many namespaces it lies.

    Versions differ in where registrations are: until 2023 many lay in ``tflite::ops::micro``, and
    those of some operators in namespaces of their own.
    """
    demangled = _DEMANGLED.match(symbol)
    if demangled is not None:  # as linker maps print it
        return demangled[2], 2 + demangled[1].count("::")
    if not symbol.startswith("_ZN6tflite"):
        return None
    parts, position = [], 3
    while match := re.compile(r"\d{1,3}").match(symbol, position):
        start = match.end()
        position = start + int(match[0])
        parts.append(symbol[start:position])
    arguments = symbol[position:]
    found = _FUNCTION.match(parts[-1]) if parts[0] == _NAMESPACE else None
    takes = "Ev" if parts[-1].startswith("Register_") else "EPKNS_8OperatorE"
    if found is None or not arguments.startswith(takes) or (takes == "Ev" != arguments):
        return None
    return found[1], len(parts)


def _tflm_functions(symbols: Iterable[str]) -> dict[str, str]:
    """Registrations and parsers by name: the one in the fewest namespaces, where there are two."""
    found: dict[str, tuple[int, str]] = {}
    for symbol in symbols:
        function = _tflm_function(symbol)
        if function is not None:
            name, depth = function
            if name not in found or depth < found[name][0]:
                found[name] = (depth, symbol)
    return {name: symbol for name, (_, symbol) in found.items()}


def _register(operator: str, *, custom: bool, method: str) -> str:
    """The name of the function that registers an operator."""
    if not custom:
        return f"Register_{operator}"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method.removeprefix("Add"))
    return _CUSTOM_FUNCTIONS.get(operator, f"Register_{words.upper()}")


def registered_operators(functions: Iterable[str]) -> tuple[str, ...]:
    """TFLM's operators that a linked program registers, generic or for one type, by name."""
    names = _tflm_functions(functions)
    return tuple(
        operator
        for (operator, custom), entry in registrations().items()
        if _is_registered(_register(operator, custom=custom, method=entry.method), names)
    )


def _is_registered(register: str, names: Iterable[str]) -> bool:
    typed = re.compile(rf"{re.escape(register)}(_INT\w+)?\Z")
    return any(typed.match(name) for name in names)


def operator_symbols(
    available: Mapping[str, None], declared: Mapping[str, str]
) -> dict[str, OperatorSymbols]:
    """Registration symbols by operator: TFLM's by their mangled names, and declared ones."""
    functions = _tflm_functions(available)
    found = {}
    for (operator, custom), entry in registrations().items():
        register = _register(operator, custom=custom, method=entry.method)
        if register not in functions:
            continue
        parser = _PARSERS.get(operator, f"Parse{entry.method.removeprefix('Add')}")
        parsers = () if custom or parser not in functions else (functions[parser],)
        typed = {
            kind: (*parsers, functions[f"{register}_{kind}"])
            for kind in sorted(entry.types)
            if f"{register}_{kind}" in functions
        }
        found[operator] = OperatorSymbols(custom, (*parsers, functions[register]), typed)
    for operator, symbol in declared.items():
        if symbol not in available:
            raise TinybudgetError(f"--op {operator}={symbol}: no input defines this symbol")
        custom = (operator, False) not in registrations()
        found[operator] = OperatorSymbols(custom, (symbol,), {})
    return found
