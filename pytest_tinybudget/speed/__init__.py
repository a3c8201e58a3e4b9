"""Time and energy of an inference: work from the graph, cycles from published measurements."""
