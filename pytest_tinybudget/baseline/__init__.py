"""Baselines: earlier results, the comparison with them, and their history."""
