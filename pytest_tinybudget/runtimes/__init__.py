"""Runtimes as values: TFLM version, core, kernel library, and the tables that belong to them."""
