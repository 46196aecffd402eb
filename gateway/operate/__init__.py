"""Operating it: the control socket and its answers, logs, the watch on the clock."""
