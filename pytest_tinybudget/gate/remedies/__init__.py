"""Changes that would make a failing pair pass. Each one is made and measured, none is guessed.

The modules are imported only if a pair fails.
"""
