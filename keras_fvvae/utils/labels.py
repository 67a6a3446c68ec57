"""What data, losses and metrics agree on about labels."""

# The label of an item that has none.
UNLABELLED = -1
