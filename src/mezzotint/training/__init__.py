"""Training: randomness from (seed, step, rank), state that is one object, runs that resume bit for
bit. Knows neither samplers nor measures: those come as hooks."""
