"""Commands that take a gateway somewhere else, or show it to somebody else: backup, restore, support-bundle."""
