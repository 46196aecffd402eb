"""From devices to conditioned readings: the tick wheel, the lines, scaling, deadband, quality, going stale."""
