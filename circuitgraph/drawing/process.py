"""Runs Graphviz in a process of its own: the font must be known to it before it starts, and it may crash alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

from circuitgraph.drawing.text import FONT_DIRECTORY
from circuitgraph.errors import ResourceError

SCRIPT = """
import json, sys
import pygraphviz
asked = json.load(sys.stdin.buffer)
graph = pygraphviz.AGraph(asked["dot"])
graph.graph_attr.update(asked["attributes"])
graph.draw(asked["target"], format=asked["format"], prog=asked["program"])
"""


def graphviz(
    program: Literal["dot", "nop2"], kind: Literal["png", "pdf", "json"], *, dot: str, attributes: dict[str, Any]
) -> bytes:
    """What a Graphviz program makes of DOT text with these graph attributes (given apart: they need no quoting).

    Raises:
        ResourceError: it failed; the message carries what it said.
    """
    with tempfile.TemporaryDirectory(prefix="circuitgraph-") as folder:
        config, target = Path(folder, "fonts.conf"), Path(folder, f"out.{kind}")
        config.write_text(_font_config(folder), encoding="utf-8")
        asked = {"dot": dot, "attributes": attributes, "target": str(target), "format": kind, "program": program}
        done = subprocess.run(  # noqa: S603  # our own interpreter and script
            [sys.executable, "-c", SCRIPT],
            input=json.dumps(asked).encode("ascii"),
            capture_output=True,
            env={**os.environ, "FONTCONFIG_FILE": str(config)},
            check=False,
        )
        if done.returncode or not target.exists():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ResourceError(f"Graphviz could not make the {kind}: {said[-1] if said else 'no message'}")
        return target.read_bytes()


def _font_config(folder: str) -> str:
    """Our font first; the machine's own fonts, where it has any, for characters that ours lacks."""
    return (
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{escape(str(FONT_DIRECTORY))}</dir>"
        '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
        f"<cachedir>{escape(folder)}</cachedir></fontconfig>"
    )
