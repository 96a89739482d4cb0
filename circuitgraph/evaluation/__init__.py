"""Is the circuit enough, is it all, is each part of it needed? A spec's edges as one circuit, measured."""
