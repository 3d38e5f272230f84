"""The recipe: all settings that determine a training run, and sampling from its model."""
