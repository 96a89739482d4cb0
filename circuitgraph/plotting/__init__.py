"""Plots of sweeps, attributions and attention patterns: first as values, then drawn with matplotlib, an optional extra.

Importing this package imports neither matplotlib nor torch.
"""

from circuitgraph.plotting.chosen import Kind, choose, patterns_picture, pictures_of, worth_drawing
from circuitgraph.plotting.files import FORMATS, check_plot_file, drawn, write_all, write_picture
from circuitgraph.plotting.theme import MISSING, available, require
from circuitgraph.plotting.values import Bar, Bars, Cell, Column, HeatMap, Panel, Patterns, Picture, Quantity

__all__ = [
    "FORMATS", "MISSING", "Bar", "Bars", "Cell", "Column", "HeatMap", "Kind", "Panel", "Patterns", "Picture",
    "Quantity", "available", "check_plot_file", "choose", "drawn", "patterns_picture", "pictures_of", "require",
    "worth_drawing", "write_all", "write_picture",
]  # fmt: skip
