"""Trained models to INT8 TF Lite: converted once, isolated, checked, and kept by content.

``converter.Converter`` is the face of the room. TensorFlow and numpy are only ever imported by the
processes of ``worker/``; this side starts them, checks what they made, and keeps it in the cache.
"""
