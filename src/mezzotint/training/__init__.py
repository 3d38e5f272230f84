"""Training: randomness from (seed, step), state that is one object, runs that resume bit for
bit. Knows neither samplers nor measures: those come as hooks."""
