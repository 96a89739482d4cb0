"""Generated prompts against a vocabulary: words that do not fit, each named once instead of once per prompt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from circuitgraph.errors import InputError
from circuitgraph.prompts.raw import RawPair
from circuitgraph.prompts.tokenizer import PromptTokenizer

SHOWN = 20
"""How many words a message lists."""


def bad_words(pairs: Sequence[RawPair], tokenizer: PromptTokenizer) -> list[str]:
    """One message per kind: words unknown, answers of several tokens, words replaced by longer or shorter ones,
    slots that share a token."""
    unknown = _unknown(pairs, tokenizer)
    answers = _long_answers(pairs, tokenizer, set(unknown))
    replaced = {} if unknown or answers else _unequal_replacements(pairs, tokenizer)
    shared = {} if unknown or answers or replaced else _shared_tokens(pairs, tokenizer)
    messages = [
        ("the model's vocabulary lacks these words", [f"'{word}'" for word in unknown]),
        ("answers must be one token each; these words are more", answers),
        (
            "a word and the word that replaces it need equal token counts; these differ",
            [f"'{word}' ({count})" for word, count in replaced.items()],
        ),
        (
            "slots that touch must not share a token; these words are read otherwise",
            [f"'{first}|{second}' ({tokens})" for (first, second), tokens in shared.items()],
        ),
    ]
    return [f"{message}: {_listed(words)}" for message, words in messages if words]


def _unknown(pairs: Sequence[RawPair], tokenizer: PromptTokenizer) -> list[str]:
    texts = (text for pair in pairs for text in (pair.clean, pair.corrupted, *pair.answers, *pair.wrong_answers))
    return _once(word for text in texts if isinstance(text, str) for word in tokenizer.unknown(text))


def _long_answers(pairs: Sequence[RawPair], tokenizer: PromptTokenizer, unknown: set[str]) -> list[str]:
    after = {
        answer: pair.clean if isinstance(pair.clean, str) else None
        for pair in pairs
        for answer in (*pair.answers, *pair.wrong_answers)
        if isinstance(answer, str) and answer.strip() not in unknown
    }
    return [f"'{answer.strip()}'" for answer, prompt in after.items() if not _is_one_token(answer, prompt, tokenizer)]


def _is_one_token(answer: str, prompt: str | None, tokenizer: PromptTokenizer) -> bool:
    try:
        tokenizer.answer_id(answer, prompt)
    except InputError:
        return False
    return True


def _unequal_replacements(pairs: Sequence[RawPair], tokenizer: PromptTokenizer) -> dict[str, int]:
    """word → tokens, for words that stand in each other's place with different token counts."""
    counts: dict[str, int] = {}
    for pair in pairs:
        if not isinstance(pair.clean, str) or not isinstance(pair.corrupted, str):
            continue
        clean, corrupted = tokenizer.encode(pair.clean), tokenizer.encode(pair.corrupted)
        for span, other in pair.spans.values():
            if other is not None and (here := clean.count(*span)) != (there := corrupted.count(*other)):
                counts |= {pair.clean[slice(*span)]: here, pair.corrupted[slice(*other)]: there}
    return counts


def _shared_tokens(pairs: Sequence[RawPair], tokenizer: PromptTokenizer) -> dict[tuple[str, str], str]:
    """(word, word) → the tokens they are read as, for two slots without anything between that share a token."""
    found: dict[tuple[str, str], str] = {}
    for pair in pairs:
        for text, side in ((pair.clean, 0), (pair.corrupted, 1)):
            spans = [span for sides in pair.spans.values() if (span := sides[side]) is not None]
            starts = {span.start: span for span in spans}
            touching = [(span, starts[span.end]) for span in spans if span.end in starts]
            if not touching or not isinstance(text, str):
                continue
            encoding = tokenizer.encode(text)
            for first, second in touching:
                if any(start < second.start < end for start, end in encoding.offsets):
                    here = [i for i, (a, b) in enumerate(encoding.offsets) if a < second.end and first.start < b]
                    tokens = ", ".join(f"'{tokenizer.token_text(encoding.ids[i])}'" for i in here)
                    found[text[slice(*first)], text[slice(*second)]] = tokens
    return found


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _listed(words: Sequence[str]) -> str:
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {more} more" if more > 0 else "")
