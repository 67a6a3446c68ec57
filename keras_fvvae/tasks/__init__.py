"""Whole jobs: train, predict, the demo. They join data, models and files; the command line calls them."""
