"""Metrics: one module each, named in `circuitgraph.catalog`, with `measure(readout, params) -> [pairs]`."""
