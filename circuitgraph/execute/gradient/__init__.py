"""Estimates of effects from gradients: first-order, and averaged along paths."""
