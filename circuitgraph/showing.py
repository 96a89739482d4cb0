"""How a value draws itself in a notebook. A leaf: who paints is looked up by the path of its module, on first use.

Jupyter, VS Code and marimo ask the last value of a cell for `_repr_mimebundle_`. They all take `text/html` before
`image/svg+xml`, and that before `text/plain`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module

PAINTER = "circuitgraph.notebook"
"""`bundle(value)` and `framed(value, height)`."""
HTML, SVG, PLAIN = "text/html", "image/svg+xml", "text/plain"
HEIGHT = 720
"""Of an interactive page, in pixels."""


class Shown:
    """A value that a notebook shows as a picture or a table."""

    __slots__ = ()

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None, **_: object
    ) -> dict[str, str]:
        """MIME type → what to show; `text/plain` is always among all of them."""
        return chosen(import_module(PAINTER).bundle(self), include, exclude)

    def _repr_html_(self) -> str | None:
        """The same for those who ask for HTML alone (marimo asks for it first); None = there is none."""
        return self._repr_mimebundle_((HTML,)).get(HTML)


class Interactive(Shown):
    """A value that has an interactive page as well."""

    __slots__ = ()

    def show(self, *, height: int = HEIGHT) -> Framed:
        """The interactive page, as the last value of a notebook's cell. Outside notebooks: `circuitgraph.report`.

        Args:
            height: of the frame, in pixels.

        Raises:
            InputError: the height is no positive number.
        """
        return import_module(PAINTER).framed(self, height)


@dataclass(frozen=True, slots=True, eq=False)
class Framed:
    """A whole HTML page in a frame of its own, so that neither its styles nor its scripts meet the notebook's."""

    frame: str = field(repr=False)
    """The `<iframe>`, with the page inside."""
    still: Mapping[str, str] = field(repr=False)
    """What is shown where a frame is not."""

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None, **_: object
    ) -> dict[str, str]:
        return chosen({HTML: self.frame, **self.still}, include, exclude)

    def _repr_html_(self) -> str:
        return self.frame


def chosen(
    bundle: Mapping[str, str], include: Collection[str] | None, exclude: Collection[str] | None
) -> dict[str, str]:
    """The types that are asked for; nothing in `include` means all (marimo passes an empty list)."""
    return {
        mime: shown
        for mime, shown in bundle.items()
        if (not include or mime in include) and not (exclude and mime in exclude)
    }
