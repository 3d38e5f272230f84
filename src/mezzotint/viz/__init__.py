"""Pictures: grids, animations, the loss curve. uint8 images in, files out; knows nothing of ours."""
