"""What a training reads: pixels, cached activations, or descriptors sampled from them."""
