"""Recipes become models, and saved files models again; the table of representations."""
