"""Training runs: from a recipe to a folder."""
