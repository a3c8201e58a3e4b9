"""YAML as nodes with their lines: nothing is constructed, so that no tag means anything.

ESPHome and Home Assistant have tags of their own (``!secret``, ``!include``, ``!lambda``); here a
tagged value is its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.detection.finding import UnreadableError


if TYPE_CHECKING:
    from yaml import Node as YamlNode


class Value(Struct, frozen=True):
    """A value and the line that it begins on (from 1)."""

    node: YamlNode | None
    line: int

    @property
    def text(self) -> str:
        """A scalar's text, as written; empty for anything else."""
        from yaml import ScalarNode

        node = self.node
        return str(node.value).strip() if isinstance(node, ScalarNode) else ""

    @property
    def is_removed(self) -> bool:
        """Whether ESPHome's ``!remove`` takes it away."""
        return getattr(self.node, "tag", "") == "!remove"

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        from yaml import MappingNode

        return isinstance(self.node, MappingNode)

    def items(self) -> Iterator[tuple[str, Value]]:
        """Keys and values of a mapping, each value with the line of its key; else nothing."""
        from yaml import MappingNode
        from yaml import ScalarNode

        if isinstance(self.node, MappingNode):
            for key, value in self.node.value:
                if isinstance(key, ScalarNode):
                    yield str(key.value), Value(value, key.start_mark.line + 1)

    def elements(self) -> Iterator[Value]:
        """The elements of a list; a single value is a list of one, nothing is an empty one."""
        from yaml import SequenceNode

        if isinstance(self.node, SequenceNode):
            for each in self.node.value:
                yield Value(each, each.start_mark.line + 1)
        elif self.text or self.is_mapping:
            yield self

    def at(self, *keys: str) -> Value:
        """What is at a path of keys; an empty value where there is none."""
        value = self
        for key in keys:
            value = next((found for name, found in value.items() if name == key), NOTHING)
        return value


NOTHING = Value(None, 0)


def parse(text: str) -> Value:
    """The first document of a YAML text.

    Raises:
        UnreadableError: it is not YAML.
    """
    import yaml

    try:
        # The parser in C does not guard its recursion: a file of brackets would end the process.
        node = next(iter(yaml.compose_all(text, Loader=yaml.SafeLoader)), None)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UnreadableError(f"not valid YAML: {error.problem or error.context}", line) from None
    except yaml.YAMLError as error:
        raise UnreadableError(f"not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise UnreadableError("not valid YAML: nested too deeply") from None
    return NOTHING if node is None else Value(node, node.start_mark.line + 1)
