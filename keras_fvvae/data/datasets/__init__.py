"""Data sets as they lie on disk, one layout a file."""
