"""The code of the worker processes: the server that imports a framework once, and its jobs.

Only this package imports numpy, TensorFlow, Keras or LiteRT; nothing outside it imports this one.
"""
