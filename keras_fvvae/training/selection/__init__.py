"""Which step of a training is kept, by a validation part."""
