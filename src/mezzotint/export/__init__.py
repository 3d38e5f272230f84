"""Conversion from file formats of other projects."""
