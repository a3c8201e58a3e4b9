"""Runs models on held-out data: their accuracy, the drop from float, agreement with another."""
