"""The fast executor: the same three stages, computed only where something changes and for many experiments at once."""
