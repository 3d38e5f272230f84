"""The recipe: everything that decides a run."""
