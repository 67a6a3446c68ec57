"""Everything between a recipe and trained vectors: stages, steps, vectors, what is read and who trains."""
