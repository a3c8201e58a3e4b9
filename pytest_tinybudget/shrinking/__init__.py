"""Makes models smaller without training them, with the same outputs."""
