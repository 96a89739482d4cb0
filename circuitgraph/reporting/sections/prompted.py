"""The prompts of a run: clean over corrupted, token by token, what differs framed, named positions above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from circuitgraph.plotting.labels import SPACE, cut, token_label
from circuitgraph.reporting.sections.figures import count
from circuitgraph.reporting.sections.markup import Child, Markup, element, joined
from circuitgraph.reporting.sections.pieces import folded, paragraph
from circuitgraph.reporting.sections.section import Section
from circuitgraph.results.prompts import Prompt
from circuitgraph.results.records import RunResult

FIRST, MOST = 5, 50
"""Pairs that are shown at once, and at all."""
MOST_TOKENS = 400
"""Of a prompt; more are no help to a reader."""
LONGEST_NAME = 24


def prompts_section(result: RunResult, prefix: str) -> Section | None:
    """The first pairs; None of a run that kept none."""
    prompts = result.prompts
    if not prompts:
        return None
    paired = any(prompt.corrupted is not None for prompt in prompts)
    pairs = [_pair(number, prompt) for number, prompt in enumerate(prompts[:MOST], 1)]
    html = joined(paragraph(*_said(prompts, paired=paired)), *pairs[:FIRST])
    if rest := pairs[FIRST:]:
        html = joined(html, folded(f"Pairs {FIRST + 1} to {FIRST + len(rest)}", *rest))
    if len(prompts) > MOST:
        html = joined(html, paragraph(f"{len(prompts) - MOST:,} more in the run directory's prompts.jsonl."))
    return Section(f"{prefix}prompts", "Prompts", html)


def _said(prompts: Sequence[Prompt], *, paired: bool) -> list[Child]:
    lengths = sorted({len(prompt.clean) for prompt in prompts})
    span = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    clusters = {prompt.cluster for prompt in prompts if prompt.cluster is not None}
    many = joined(" in ", count(len(clusters), "cluster")) if clusters else None
    how = " The clean prompt stands over the corrupted one; where they differ, tokens are framed." if paired else ""
    return [count(len(prompts), "pair"), " of ", span, " tokens", many, f".{how} {SPACE} is a space."]


def _pair(number: int, prompt: Prompt) -> Markup:
    names: dict[int, list[str]] = {}
    for name, index in prompt.positions.items():
        names.setdefault(index, []).append(cut(name, LONGEST_NAME))
    tokens = [_token(index, prompt, names) for index in range(min(len(prompt.clean), MOST_TOKENS))]
    if len(prompt.clean) > MOST_TOKENS:
        tokens.append(element("li", {"class": "s-tok"}, f"… {len(prompt.clean) - MOST_TOKENS:,} more"))
    head = element("div", {"class": "s-pair-head"}, element("b", None, f"Pair {number}"), *_answers(prompt))
    return element("div", {"class": "s-pair"}, head, element("ol", {"class": "s-toks"}, *tokens))


def _answers(prompt: Prompt) -> list[Child]:
    said: list[Child] = []
    for word, ids, texts in (
        ("answer", prompt.answers, prompt.answer_tokens),
        ("wrong", prompt.wrong_answers, prompt.wrong_answer_tokens),
    ):
        if texts:
            shown = [element("bdi", {"class": "s-answer", "title": f"token {i}"}, token_label(t))
                     for i, t in zip(ids, texts, strict=True)]  # fmt: skip
            said.append(element("span", None, element("small", None, word), " ", *_spaced(shown)))
    if prompt.cluster is not None:
        said.append(
            element("span", None, element("small", None, "cluster"), " ", element("bdi", None, cut(prompt.cluster, 40)))
        )
    return said


def _spaced(parts: Sequence[Markup]) -> list[Child]:
    return [piece for part in parts for piece in (part, " ")]


def _token(index: int, prompt: Prompt, names: Mapping[int, Sequence[str]]) -> Markup:
    """One column: names, the clean token, the corrupted one."""
    clean = prompt.clean_tokens[index]
    corrupted = None if prompt.corrupted_tokens is None else prompt.corrupted_tokens[index]
    differs = prompt.corrupted is not None and prompt.clean[index] != prompt.corrupted[index]
    name = ", ".join(names.get(index, ()))
    said = None if not (name or differs) else f"token {index}" + (f", {name}" if name else "")
    rows: list[Child] = [element("bdi", {"class": "s-name"}, name or "\u00a0"), _text(clean)]
    if corrupted is not None:
        rows.append(_text(corrupted))
    return element("li", {"class": "s-tok s-differs" if differs else "s-tok", "title": said}, *rows)


def _text(token: str) -> Markup:
    return element("bdi", {"class": "s-text"}, token_label(token))
