"""Measures: images -> features -> statistics -> numbers. Pure functions; ``measure`` composes them."""
