"""What the firmware needs of a model: C array, constants, resolver."""
