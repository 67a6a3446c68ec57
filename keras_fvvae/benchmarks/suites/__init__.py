"""What `keras-fvvae benchmark` measures, one group a file."""
