"""Recipes become views and models, and saved files models again; the table of representations."""
