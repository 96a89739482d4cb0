"""`python -m circuitgraph` is the same as `circuitgraph`."""

from circuitgraph.cli import main

main()
