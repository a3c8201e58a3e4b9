#!/usr/bin/env bash
# A version in ESP-IDF's idf_component.yml may be a range, and an exact one misses its own fix.
#
# One would expect that `version: "1.3"` pins a component, and that 1.3.3 is the release 1.3.3 with
# all that was repackaged of it. The component manager takes "1.3", and "==1.3" as well, for every
# 1.3.x, and "1.3.3" for one release without its repackaged "1.3.3~1", which is a version of its own
# that only ranges reach: "~1.3.3" does, and reads much like it. It bites whoever believes a firmware
# to be pinned, and whoever reads pins off a manifest.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check "idf-component-manager==3.1.2"
cd "$scratch"
"$scratch/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from idf_component_tools.semver import SimpleSpec
from idf_component_tools.semver import Version

RELEASES = ["1.2.0", "1.3.0", "1.3.3", "1.3.3~1", "1.3.4", "1.4.0"]
EXPECTED = {
    "1.3": ["1.3.0", "1.3.3", "1.3.3~1", "1.3.4"],
    "==1.3": ["1.3.0", "1.3.3", "1.3.3~1", "1.3.4"],
    "1.3.3": ["1.3.3"],
    "==1.3.3~1": ["1.3.3~1"],
    "~1.3.3": ["1.3.3", "1.3.3~1", "1.3.4"],
}

print(f"idf-component-manager {version('idf-component-manager')}")
changed = False
for constraint, expected in EXPECTED.items():
    found = [each for each in RELEASES if SimpleSpec(constraint).match(Version(each))]
    print(f"{constraint!r:12} allows {', '.join(found)}")
    changed |= found != expected
sys.exit("the behavior has changed" if changed else 0)
PYTHON
echo "a version of two parts is a range, and an exact one excludes its repackaged release"
