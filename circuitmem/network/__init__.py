"""Layers of weights on tiles."""
