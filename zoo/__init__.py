"""Zoo entries: one YAML recipe per entry, with the weights that are small enough to ship."""
