"""The neighbours of what is sent, in the index of a served model, and what makes them similar."""
