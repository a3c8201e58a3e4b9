"""What would make a failing pair pass: changes, each made and measured again, and other boards.

The modules are imported where a pair fails: a run in which all pass needs none of them.
"""
