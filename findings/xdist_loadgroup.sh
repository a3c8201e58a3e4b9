#!/usr/bin/env bash
# Under pytest 9.2, pytest-xdist 3.8 spreads the tests of one group over several workers.
#
# One would expect that "--dist loadgroup" gives all tests with the same xdist_group mark to one
# worker: that is all it is for. It bites whoever has tests that share a port, a board or a file:
# they run at the same time, and fail now and then.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
    "pytest==9.2.0" "pytest-xdist==3.8.0"

cat > test_group.py <<'PYTHON'
import pytest


@pytest.mark.xdist_group("board")
@pytest.mark.parametrize("number", range(6))
def test_of_one_group(number, worker_id):
    with open("workers.txt", "a") as file:
        file.write(f"{worker_id}\n")
PYTHON

environment/bin/python -m pip list --disable-pip-version-check | grep -i "^pytest"
environment/bin/python -m pytest -q -n 2 --dist loadgroup test_group.py | tail -n 1
echo "tests of the group \"board\" by worker:"
sort workers.txt | uniq -c
[ "$(sort -u workers.txt | wc -l)" = 2 ] || { echo "the behavior has changed" >&2; exit 1; }
echo "one group ran in two workers"
