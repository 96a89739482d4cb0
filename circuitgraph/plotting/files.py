"""Pictures -> bytes and files: the ending picks the format, a directory takes all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from circuitgraph.errors import FileError, InputError, did_you_mean
from circuitgraph.plotting import theme
from circuitgraph.plotting.values import Bars, HeatMap, Patterns, Picture

if TYPE_CHECKING:
    from circuitgraph.plotting.sheet import Sheet

FORMATS = (".svg", ".png", ".pdf")


def check_plot_file(path: str | Path) -> None:
    """Refuse, before any work is done, a file that no plot can be written to.

    Raises:
        InputError: its ending names no format, or matplotlib is not installed.
        FileError: it is a directory, or its directory is not there.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"'{target.name}' names no format by its ending{did_you_mean(suffix, FORMATS)}")
    theme.require()
    if target.is_dir():
        raise FileError(f"cannot write {target}: it is a directory")
    if not target.parent.is_dir():
        raise FileError(f"cannot write {target}: there is no directory {target.parent}")


def drawn(picture: Picture, kind: str = "svg") -> bytes:
    """A picture as the bytes of an `svg`, `png` or `pdf` file: the same ones each time.

    Raises:
        InputError: matplotlib is not installed.
    """
    with theme.themed():
        return sheet_of(picture).content(kind, picture.title, picture.note)


def sheet_of(picture: Picture) -> Sheet:
    """A picture on its page; needs `theme.themed`."""
    from circuitgraph.plotting.attended import draw_patterns
    from circuitgraph.plotting.maps import draw_map
    from circuitgraph.plotting.ranked import draw_bars

    match picture:
        case HeatMap():
            return draw_map(picture)
        case Bars():
            return draw_bars(picture)
        case Patterns():
            return draw_patterns(picture)
        case _:
            assert_never(picture)


def write_picture(picture: Picture, path: str | Path) -> Path:
    """Draw to a file, whole or not at all.

    Raises:
        InputError, FileError: as `check_plot_file`; the file cannot be written.
    """
    check_plot_file(path)
    target = Path(path)
    _write(target, drawn(picture, target.suffix.lower().removeprefix(".")))
    return target


def write_all(pictures: Sequence[Picture], directory: str | Path) -> tuple[Path, ...]:
    """Draw each to `<directory>/<its name>.svg`; the directory is made.

    Raises:
        InputError: matplotlib is not installed.
        FileError: a file cannot be written.
    """
    theme.require()
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make {place}: {error.strerror or error}") from error
    return tuple(write_picture(picture, place / f"{picture.name}.svg") for picture in pictures)


def _write(target: Path, content: bytes) -> None:
    from circuitgraph.results.files import write_bytes

    write_bytes(target, content)
