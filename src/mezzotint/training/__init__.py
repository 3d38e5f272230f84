"""Training: a reproducible loop whose runs resume bit for bit.

Random numbers depend on (seed, step) only, and the state is a single object. This package knows neither
samplers nor metrics; they are passed as hooks.
"""
