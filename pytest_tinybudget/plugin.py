"""The pytest plugin: options, ini values and hooks; at rest it costs nothing."""
