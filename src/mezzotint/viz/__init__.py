"""Image grids, animations and plots: from uint8 images and numbers to files.

This package imports no other part of Mezzotint.
"""
