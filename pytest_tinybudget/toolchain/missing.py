"""Symbols that no input of a link defines: whose they are, and what to give for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping

from msgspec import Struct


#: What TFLM asks of the platform: every application writes these itself, or takes its SDK's.
_HOOKS = re.compile(
    r"(DebugLog|DebugVsnprintf|_ZN6tflite(16ticks_per_second|19GetCurrentTimeTicks"
    r"|16InitializeTarget)Ev)\Z"
)


class Owner(Struct, frozen=True):
    """Whose symbols a pattern matches, and how a link gets them."""

    name: str
    remedy: str
    pattern: str


#: By the names that the C++ ABI, and the SDKs that TFLM is flashed with, give their functions.
_OWNERS = (
    Owner("TFLM", "give all of its objects, or its archive", r"_ZNK?6tflite|_ZTV?N6tflite"),
    Owner(
        "the C++ library",
        "add gcc YOUR_FLAGS -print-file-name=libsupc++.a (or libstdc++.a)",
        r"__cxa_|__gxx_personality|__dynamic_cast\Z|_Zn[wa]|_Zd[la]|_ZSt|_ZNSt|_ZNKSt"
        r"|_ZT[VI]N10__cxxabiv1|__aeabi_atexit\Z",
    ),
    Owner(
        "the SDK",
        "say what your application has anyway: --application app.elf, or a file with these names",
        r"multicore_|spin_lock_|mutex_|critical_section_|sleep_|time_us_|stdio_|__wrap_|esp_"
        r"|xTask|vTask|xQueue|xSemaphore|heap_caps_|k_|z_|arch_|printk\Z|HAL_|NVIC_|mbed_"
        r"|vprintk\Z|uart_",
    ),
    Owner(
        "the compiler's library",
        "add gcc YOUR_FLAGS -print-file-name=libgcc.a",
        r"__aeabi_|__gnu_|__(add|sub|mul|div|neg|fix|float|eq|ne|lt|le|gt|ge|unord|cmp|u?mod|udiv"
        r"|ashl|ashr|lshr|clz|ctz|popcount|bswap|extend|trunc)\w*[sdt][fi]\w*\Z",
    ),
)
_OTHERS = Owner(
    "other libraries",
    "add your link's libraries: gcc YOUR_FLAGS -print-file-name=libc.a (libm.a, …)",
    "",
)


def is_hook(symbol: str) -> bool:
    """Whether TFLM leaves ``symbol`` to the application to write."""
    return _HOOKS.match(symbol) is not None


def by_owner(symbols: Iterable[str]) -> Mapping[Owner, tuple[str, ...]]:
    """The symbols by whose they are."""
    found: dict[Owner, list[str]] = {}
    for symbol in symbols:
        owner = next((each for each in _OWNERS if re.match(each.pattern, symbol)), _OTHERS)
        found.setdefault(owner, []).append(symbol)
    return {owner: tuple(names) for owner, names in found.items()}
