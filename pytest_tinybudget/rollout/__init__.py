"""Staged rollouts: the policy, its decision at each stage, its simulation, and engines' plans."""
