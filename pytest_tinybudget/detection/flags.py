"""Compiler flags that memory depends on, as the settings of a runtime."""

from __future__ import annotations

import re

from pytest_tinybudget.detection.finding import Setting


#: Macros of TFLM's own build, and what they set.
_MACROS: dict[str, Setting] = {
    "TF_LITE_STATIC_MEMORY": ("static_memory", "true"),
    "TF_LITE_STRIP_ERROR_STRINGS": ("log_strings", "false"),
    "CMSIS_NN": ("kernels", "cmsis-nn"),
    "ESP_NN": ("kernels", "esp-nn"),
}
_DEFINED = re.compile(r"(?:-D\s*|(?<![\w-]))(?P<macro>[A-Z][A-Z0-9_]+)(?:=(?P<value>\w+))?")
_LEVEL = re.compile(r"(?<!\S)-O(?P<level>[s23])(?!\S)")


def settings_of(flags: str) -> tuple[Setting, ...]:
    """What ``flags`` set."""
    found: dict[str, str] = {}
    for define in re.finditer(r"-D\s*(?P<macro>\w+)(?:=(?P<value>\w+))?", flags):
        setting = _MACROS.get(define["macro"])
        if setting and define["value"] != "0":
            found[setting[0]] = setting[1]
    levels = _LEVEL.findall(flags)
    if levels:
        found["optimize"] = levels[-1]
    return tuple(sorted(found.items()))


def settings_of_macros(macros: str) -> tuple[Setting, ...]:
    """What names of macros set, with or without ``-D``, as CMake takes them."""
    found = dict(
        _MACROS[define["macro"]]
        for define in _DEFINED.finditer(macros)
        if define["macro"] in _MACROS and define["value"] != "0"
    )
    return tuple(sorted(found.items()))
