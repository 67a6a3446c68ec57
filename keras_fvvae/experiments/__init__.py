"""Experiments: representations beside each other, the paper's tables and figures on the user's data, sweeps."""
