"""The mathematics of diffusion, on tensors only: no networks, files or output."""
