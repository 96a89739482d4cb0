"""Other tools' files <-> ours: a circuit found elsewhere becomes a spec, and a run a file that is scored there.

Importing this package loads neither torch nor networkx; docs/interchange.md has the formats.
"""
