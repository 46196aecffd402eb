"""Values from their bytes to columns; imports nothing of the session."""
