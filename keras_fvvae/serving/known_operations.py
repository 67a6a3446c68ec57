KNOWN_OPERATIONS: frozenset[str] = frozenset()
