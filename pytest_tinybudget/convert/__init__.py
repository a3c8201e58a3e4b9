"""Converts trained models to INT8 TF Lite, in processes of their own, and keeps the results.

The rest of the package calls ``converter.Converter``. It starts the processes of ``worker/``,
checks the files that they make, and keeps them in a cache by the content of their sources. Only
those processes import TensorFlow and numpy.
"""
