"""Models run on held-out data: how good, how far from float, how like the deployed one."""
