"""The commands of ``tinybudget``, one a module; each adds itself to the command line's parser.

A module imports what its command needs when the command runs, so that others start at once.
"""
