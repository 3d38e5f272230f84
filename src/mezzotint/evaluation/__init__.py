"""Evaluation: images -> features -> statistics -> scores, as pure functions; ``measure`` runs them all."""
