"""Scores into figures: accuracies with their intervals, average precision, fusion, ActivityNet's protocol."""
