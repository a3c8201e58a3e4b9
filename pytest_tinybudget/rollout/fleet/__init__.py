"""The state of a fleet in one SQLite file: devices, rollouts, and the result of each update."""
