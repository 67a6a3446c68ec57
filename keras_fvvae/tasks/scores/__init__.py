"""What is asked of finished runs' scores and of other methods': metrics, of single views too, comparison, fusion."""
