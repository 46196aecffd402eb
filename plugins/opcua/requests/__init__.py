"""What is asked of a server and answered at once: reading, writing, browsing, methods."""
