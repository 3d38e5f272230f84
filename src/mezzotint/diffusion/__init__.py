"""The mathematics of diffusion, on tensors alone: no network, no file, no screen."""
