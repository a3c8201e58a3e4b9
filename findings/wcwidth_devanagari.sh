#!/usr/bin/env bash
# The same word has another width with another release of wcwidth.
#
# One would expect that the width of a word in cells is a property of the word and of Unicode's
# tables, so that tables laid out by two programs on one computer line up. The Hindi word for Hindi
# has 3 cells with wcwidth 0.5.0 and 4 with 0.9.4: the rules for vowel signs that take room changed.
# It bites whoever pins a width in a test, or pads text in one environment and compares it in another.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

width_with() {
    python3 -m venv "$scratch/$1"
    "$scratch/$1/bin/python" -m pip install --quiet --disable-pip-version-check "wcwidth==$1"
    "$scratch/$1/bin/python" -c 'import wcwidth; print(wcwidth.wcswidth("\u0939\u093f\u0928\u094d\u0926\u0940"))'
}

older="$(width_with 0.5.0)"
newer="$(width_with 0.9.4)"
echo "wcwidth 0.5.0: $older cells"
echo "wcwidth 0.9.4: $newer cells"
[ "$older" = 3 ] && [ "$newer" = 4 ] || { echo "the behavior has changed" >&2; exit 1; }
echo "the width of one word differs between the two releases"
