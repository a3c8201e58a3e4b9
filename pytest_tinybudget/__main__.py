"""``python -m pytest_tinybudget``: the command line without the console script."""

from __future__ import annotations

import sys

from pytest_tinybudget.cli import main


sys.exit(main())
