"""Whose and where: the state directory, on whose behalf files in it are written, and who a person is."""
