"""A line to Modbus devices: how it is opened, how frames look on it, whose turn it is, and whose answer came."""
