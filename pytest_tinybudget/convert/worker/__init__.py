"""What runs in processes of its own: the server that imports a framework once, and its jobs.

Only this package imports numpy, TensorFlow, Keras or LiteRT; nothing outside it imports this one.
"""
