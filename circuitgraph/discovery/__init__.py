"""Looking for a circuit: rank or prune the edges of a model, and write what is left as a spec."""
