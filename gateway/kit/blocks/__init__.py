"""Values that stand in blocks of addresses: which blocks are read, and how they become columns."""
