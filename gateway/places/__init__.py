"""Files and folders of the machine: the state directory, on whose behalf files in it are written, what may be read; and people."""
