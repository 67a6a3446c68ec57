"""What answers: models loaded and reloaded, requests batched, limits kept."""
