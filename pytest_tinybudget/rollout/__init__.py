"""Staged rollouts: policy, decision at each stage, simulation, and plans for other engines."""
