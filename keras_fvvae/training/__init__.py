"""Everything between a recipe and trained vectors: inputs, steps, stages, strategies."""
