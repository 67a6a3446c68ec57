"""Benchmarks: everything against its peer or the bare backbone."""
