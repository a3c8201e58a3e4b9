"""Boards as data: the board type and the catalogue."""
