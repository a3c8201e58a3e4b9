"""The documentation site: ``sphinx-build -W docs build/site`` (extra ``[docs]``)."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "pytest-tinybudget"
author = "The pytest-tinybudget maintainers"
copyright = author  # noqa: A001 - Sphinx's name
release = importlib.metadata.version("pytest-tinybudget")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated_pages",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext", "pictures"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
# Shell blocks with TOML's or GitLab's own words in them are no mistakes of the page.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True

html_theme = "furo"
html_title = f"pytest-tinybudget {release}"
html_static_path: list[str] = []
linkcheck_anchors = False
