"""The state of a fleet in one SQLite file: devices, rollouts, who has been updated, and how."""
