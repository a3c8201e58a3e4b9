"""Model files (and layer lists) to the typed graph."""
