"""Tools that every other module may use: files, the machine, randomness, pixels, progress, assets."""
