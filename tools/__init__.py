"""The `keras-fvvae` command line: one file a command."""
