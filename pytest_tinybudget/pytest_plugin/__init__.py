"""The pytest plugin: options, items, results on their way, reports."""
