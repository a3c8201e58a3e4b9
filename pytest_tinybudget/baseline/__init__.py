"""Baselines: results read back, compared, and the limits on how much a change may grow them."""
