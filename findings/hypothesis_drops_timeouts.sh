#!/usr/bin/env bash
# Once a Hypothesis test has run, pytest-timeout's limit on a later test of the process may be lost.
#
# One would expect that a test with a limit of one second fails after it, whatever ran before it.
# Hypothesis leaves a function in gc.callbacks. Python runs a signal's handler at the next Python
# code, which is that function where the signal came during a collection; what a handler raises in
# there, Python reports and drops. It bites whoever limits the time of tests by a signal: the limit
# is gone, the test goes on, and only a warning is left. It happens more often the more objects a
# test holds. "timeout_method = thread" is not concerned.
set -euo pipefail

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

python3 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
    "pytest==9.2.0" "pytest-timeout==2.4.0" "hypothesis==6.170.17"

cat > test_limit.py <<'PYTHON'
import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies


@given(strategies.integers())
def test_with_hypothesis(number):
    assert number + 0 == number


@pytest.mark.timeout(1, method="signal")
def test_of_three_seconds():
    gc.disable()
    many = [[] for _ in range(1_000_000)]
    until = time.monotonic() + 3
    while time.monotonic() < until:
        gc.collect()
    gc.enable()
    assert many
PYTHON

environment/bin/python -m pip list --disable-pip-version-check | grep -iE "^(pytest|hypothesis)"
run() { environment/bin/python -m pytest -q -p no:cacheprovider "$@" > output.txt 2>&1 || true; }

run test_limit.py::test_of_three_seconds
echo "the slow test alone:"
grep -oE "Failed: Timeout.*|[0-9]+ (passed|failed).*" output.txt | sort -u
grep -q "1 failed" output.txt || { echo "the behavior has changed" >&2; exit 1; }

run test_limit.py
echo "after a test with Hypothesis:"
grep -oE "PytestUnraisable[A-Za-z]*|Failed: Timeout.*|[0-9]+ (passed|failed).*" output.txt | sort -u
grep -q "2 passed" output.txt || { echo "the behavior has changed" >&2; exit 1; }
echo "the limit of one second was lost"
