"""The key below the picture: what was measured, how, on how many pairs, and what lines and letters mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from circuitgraph.drawing.marks import arrowhead
from circuitgraph.drawing.scene import Dash, Panel, Rect, Sample, Stroke, Text
from circuitgraph.drawing.style import (
    INK,
    NEGATIVE,
    NEUTRAL,
    PALE,
    POSITIVE,
    SOFT_INK,
    UNDECIDED,
    UNMEASURED,
    Finding,
    Style,
    Verdict,
    color_of,
    number,
    verdict,
)
from circuitgraph.drawing.tags import SIZE as TAG
from circuitgraph.drawing.tags import tag
from circuitgraph.drawing.text import fill, isolated, width
from circuitgraph.graph.claims import CircuitGraph, NodeClaim
from circuitgraph.graph.usual import settings, unusual_settings, usual_settings
from circuitgraph.nodes import Port
from circuitgraph.spec.model import BaseRun, EstimateMethod, PathKind

SIZE = 10.5
LINE = 17.0
LENGTH = 34.0
SPACE = 20.0
RULE = "#d5dbe3"
MOST_PASSED = 3
"""So many arrows that do not show their largest effect are named."""

Mark = Text | Sample | Panel
Key = Stroke | str
"""A line, or the value of a setting that has a letter."""


def legend(
    graph: CircuitGraph,
    found: Finding,
    area: Rect,
    *,
    drawn: Finding | None = None,
    style: Style = Style.PLAIN,
    inside: int = 0,
    passed: Sequence[str] = (),
    told: CircuitGraph | None = None,
    shares: bool = False,
) -> tuple[tuple[Mark, ...], float]:
    """The marks, laid out in lines as wide as `area`, and the y below the last one.

    `drawn` are the rows that arrows show, where these are not all; `inside` counts edges within boxes, `passed`
    are the arrows of which a larger effect is not shown.
    Base, source and path are told of `told`, where the graph's are not those with which it was measured.
    `shares`: the rows' effects are normalized ones.
    """
    drawn = drawn or found
    y, x = area.y + SIZE, area.x
    rule = ((area.x, area.y - 6), (area.x, area.y - 6), (area.right, area.y - 6), (area.right, area.y - 6))
    marks: list[Mark] = [Sample(rule, None, Stroke(RULE, 1.0))]
    for samples in [*_samples(graph, found, drawn, shares), *_letters(graph)]:
        wide = sum(_room(key) + width(text, SIZE) + SPACE for key, text in samples) - SPACE
        if x > area.x and x + wide > area.right:
            x, y = area.x, y + LINE
        for key, text in samples:
            marks += [_sample(x, y - 3.5, key), Text(x + _room(key), y, text, SIZE, INK)]
            x += _room(key) + width(text, SIZE) + SPACE
    y += LINE + 2
    of_groups = _of_groups(graph, found, inside, passed)
    for line in _packed(_sentences(graph, found, drawn, style, of_groups, told or graph, shares), area.width):
        marks.append(Text(area.x, y, line, SIZE, SOFT_INK))
        y += LINE - 2.5
    return tuple(marks), y - LINE


def _packed(sentences: Iterable[str], limit: float) -> list[str]:
    """Sentences in lines: side by side where they fit whole, broken only where one is longer than a line."""
    lines = [""]
    for sentence in filter(None, sentences):
        together = f"{lines[-1]} {sentence}".strip()
        if width(together, SIZE) <= limit:
            lines[-1] = together
        else:
            lines += fill(sentence, SIZE, limit, lines=8)
    return [line for line in lines if line]


def _room(key: Key) -> float:
    return (TAG if isinstance(key, str) else LENGTH) + 6


def _sample(x: float, y: float, key: Key) -> Sample | Panel:
    if isinstance(key, str):
        return tag(x + TAG / 2, y, key, NEUTRAL)
    stroke = key
    end, base = (x + LENGTH, y), (x + LENGTH - stroke.tip_length + 0.5, y)
    return Sample(((x, y), (x, y), base, base), arrowhead((x, y), end, stroke), stroke)


def _letters(graph: CircuitGraph) -> list[list[tuple[Key, str]]]:
    """The letters that occur."""
    usual = usual_settings(map(settings, graph.claims))
    unusual = (unusual_settings(settings(claim), usual) for claim in graph.claims)
    found = dict.fromkeys((name, value) for each in unusual for name, value in each.items())
    return [[(value, f"{name}: {value}")] for name, value in sorted(found)]


def _samples(graph: CircuitGraph, found: Finding, drawn: Finding, shares: bool) -> list[list[tuple[Stroke, str]]]:
    """The kinds of lines that occur, then the scale of widths, which is kept together."""
    if not found.rows:
        return [[(Stroke(NEUTRAL, 1.4), "hypothesised edge, not measured")]]
    seen = {color_of(row) for row in drawn.rows.values()}
    metric = isolated(next(iter(found.rows.values())).metric)
    up, down = f"patching raises {metric}", f"patching lowers {metric}"
    if shares:
        up, down = (f"patching moves {metric} {way} the other prompt" for way in ("towards", "away from"))
    kinds = [
        (Stroke(POSITIVE, 2.6), f"positive: {up}"),
        (Stroke(NEGATIVE, 2.6, Dash.DASHED), f"negative: {down}"),
        (Stroke(UNDECIDED, 1.4, Dash.DOTTED), "95 % interval contains 0"),
    ]
    distance = _is_distance(found)
    samples = [[(s, text)] for s, text in kinds if s.color in seen and not (distance and s.color == POSITIVE)]
    untested = [row for row in drawn.rows.values() if verdict(row) is Verdict.UNTESTED]
    if untested:
        alone = replace(drawn.stroke(untested[0].id, crowded=False), width=2.6, opacity=PALE)
        samples.append([(alone, "no interval (a single pair or cluster)")])
    if any(id_ not in found.rows for id_ in graph.by_id):
        samples.append([(Stroke(UNMEASURED, 1.0), "not measured")])
    if drawn.largest:
        smallest = min(abs(row.effect) for row in drawn.rows.values())
        sizes = [drawn.largest / part for part in (1, 4, 16) if part == 1 or drawn.largest / part >= smallest]
        color, name = (POSITIVE, "effect") if distance else (SOFT_INK, "|effect|")
        samples.append([(Stroke(color, drawn.width(size)), number(size, drawn.digits)) for size in sizes])
        samples[-1][0] = (samples[-1][0][0], f"{name} = {samples[-1][0][1]}")
    return samples


def _is_distance(found: Finding) -> bool:
    """Whether the metric has one sign alone: a divergence from the base run is 0 there and positive elsewhere."""
    return all(row.metric_base == 0 and row.effect >= 0 for row in found.rows.values())


def _sentences(
    graph: CircuitGraph,
    found: Finding,
    drawn: Finding,
    style: Style,
    of_groups: Sequence[str],
    told: CircuitGraph,
    shares: bool,
) -> list[str]:
    lines = []
    if found.rows:
        row = next(iter(found.rows.values()))
        counts = sorted({row.n for row in found.rows.values()})
        pairs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
        name, size = isolated(row.metric), "effect" if _is_distance(found) else "|effect|"
        meaning = f"effect = {name}(patched) − {name}(base)"
        if shares:
            meaning = f"normalized effect = mean effect / mean gap between the two prompts, of {name}"
        if row.executor in list(EstimateMethod):
            what = "normalized effect" if shares else "effect"
            meaning = f"{what} on {name}, ESTIMATED by {row.executor} from gradients, not measured"
        lines.append(f"{meaning}, mean over n\u00a0=\u00a0{pairs} prompt pair{'' if counts == [1] else 's'}.")
        lines.append(f"Line width is proportional to √{size}.")
        if len(drawn.rows) > drawn.full_ink:
            lines.append(f"By rank: the {drawn.full_ink} strongest in full ink, the others the paler the weaker.")
        judged = Counter(row.verdict for row in found.rows.values() if row.verdict is not None)
        if judged:
            counts = ", ".join(f"{judged[verdict]} {verdict}" for verdict in sorted(judged))
            lines.append(f"Expectations: {counts}.")
    if style is Style.PAPER and next(graph.arcs(), None):
        lines += of_groups
    lines += [_direction(told), _path(told)]
    if any(receiver.ports for _, receiver, _ in graph.arcs()):
        lines.append("q, k, v: the input of a head (queries, keys, values) that the path reaches.")
    lines += _of_nodes(graph, found, style)
    if style is Style.PLAIN and _together(graph):
        lines.append("Joined edges, chains and sets are drawn as several arrows that share one effect.")
    return lines


def _of_nodes(graph: CircuitGraph, found: Finding, style: Style) -> list[str]:
    """What the numbers in boxes are."""
    claims = [claim for claim in graph.claims if isinstance(claim, NodeClaim)]
    if not claims:
        return []
    sign = "“patched”" if not found.rows else "A box with a number" if style is Style.PLAIN else "A name and a number"
    lines = [f"{sign}: the node itself is patched, wherever its output goes."]
    ports = dict.fromkeys(port for claim in claims for node in claim.nodes for port in node.ports)
    inputs = ", ".join(port for port in Port if port in ports and port is not Port.PATTERN)
    before = [f"{inputs} before it: only that input of the head is patched"] * bool(inputs)
    before += ["attn before it: only the attention pattern"] * (Port.PATTERN in ports)
    lines += [f"With {'; with '.join(before)}."] * bool(before)
    if found.rows and any(len(claim.nodes) > 1 for claim in claims):
        lines.append("Nodes that are patched together have one effect, which stands at each of them.")
    return lines


def _together(graph: CircuitGraph) -> bool:
    """Whether an experiment is drawn as several edges."""
    return any(arcs > 1 for arcs in Counter(id(claim) for _, _, claim in graph.arcs()).values())


def _of_groups(graph: CircuitGraph, found: Finding, inside: int, passed: Sequence[str]) -> list[str]:
    """What an arrow between groups stands for."""
    lines = ["An arrow stands for all edges from members of one box to one input of members of another"]
    lines[0] += ", measured in one way" * bool(usual_settings(settings(claim) for _, _, claim in graph.arcs()))
    together = _together(graph)
    if found.rows:
        what = "strongest experiment" if together else "strongest"
        lines[0] += f": it shows the effect of the {what}, of those whose interval leaves out 0 if there are any"
    lines[0] += "."
    if together:
        effect = "one effect, that of all of them together" if found.rows else "one effect"
        lines.append(f"The edges of a joined edge, a chain or a set share {effect}.")
    if passed:
        more = f" and {len(passed) - MOST_PASSED} more" if len(passed) > MOST_PASSED else ""
        lines.append(f"Larger effects that are not shown, as their intervals contain 0: "
                     f"{', '.join(passed[:MOST_PASSED])}{more}.")  # fmt: skip
    if inside:
        lines.append(f"{inside} edge{'s' if inside > 1 else ''} between members of one box are not drawn.".replace(
            "edge between members of one box are", "edge between members of one box is"))  # fmt: skip
    return lines


def _direction(graph: CircuitGraph) -> str:
    if not graph.claims:
        return ""
    usual = settings(graph.claims[0]) | usual_settings(map(settings, graph.claims))
    base, source, where = usual["base"], usual["source"], _unless(graph, "base", "source")
    if source == "prune":
        return f"base: the {base} prompt, with output weights set to zero (pruning){where}."
    if source != "counterfactual":
        return f"base: the {base} prompt, patched with the {source} activation (ablation){where}."
    other, kind = ("corrupted", "noising") if base == BaseRun.CLEAN else ("clean", "denoising")
    return f"base: the {base} prompt, patched from the {other} one ({kind}){where}."


def _path(graph: CircuitGraph) -> str:
    meaning: dict[str, str] = {
        PathKind.DIRECT: "the residual stream alone carries the change",
        PathKind.THROUGH_MLPS: "the residual stream and the MLPs in between carry the change, attention is frozen",
    }
    found = [settings(claim) for claim in graph.claims]
    usual = usual_settings(found)
    paths = sorted({each["path"] for each in found if "path" in each}, key=lambda path: path != usual.get("path"))
    first, *others = [f"{path} ({meaning[path]})" for path in paths] or [""]
    return "; ".join([f"path: {first}{_unless(graph, 'path')}", *others]) + "." if first else ""


def _unless(graph: CircuitGraph, *names: str) -> str:
    """What follows the usual value where some experiments have another."""
    return ", unless a letter says otherwise" if usual_settings(map(settings, graph.claims)).keys() & {*names} else ""
