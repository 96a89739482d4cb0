"""Train ioi-mini, the small model that ships with circuitgraph, from nothing.

    python examples/train_ioi_mini.py                       # rewrites the bundled model, on two CPU cores
    python examples/train_ioi_mini.py --out /tmp/m --seed 2 --steps 1500

Early training also guides attention, see `guidance`; the last part of training is the task alone.

The task: after "When Mary and John went to the shop, John gave a bag to" the next word is " Mary", the
one name that was mentioned and not repeated. In MORE_SENTENCES the repeated name is not always the last one, two
of three names may be repeated, and the distances vary: no name can be skipped for its place.

Every tenth pair of names never meets in a training sentence; accuracy is reported on those pairs, in
IOI_TEMPLATES (seen with other names) and in HELD_OUT_TEMPLATES (never seen).
"""

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel

from circuitgraph.prompts.words import HELD_OUT_TEMPLATES, IOI_TEMPLATES, MORE_SENTENCES, NAMES, OBJECTS, PLACES

BUNDLED = Path(__file__).resolve().parents[1] / "circuitgraph" / "models" / "bundled" / "ioi-mini"
BOS, PAD, UNK = "<|bos|>", "<|pad|>", "<|unk|>"
N_POSITIONS = 48
BATCH = 64
LEARNING_RATE = 2e-3
GUIDANCE, GUIDED = 0.3, 0.6  # weight of `guidance` at first; the share of training after which it is gone
EVALUATED = 2000

# Training sentences are varied: what comes before, what comes between, and words of one kind exchanged.
OPENINGS: tuple[str, ...] = ("", "", "The rain stopped.", "It was late at night.", "Yesterday there was music.")
INTERLUDES: dict[str, tuple[str, ...]] = {
    ", ": (", ", ", ", ", on the way there, ", ", after a long walk, ", ", late in the morning, "),
    ". ": (". ", ". ", ". It was late. ", ". There was rain on the way. ", ". The music stopped. "),
}
EXCHANGEABLE: tuple[str, ...] = (  # regular expressions: one group of words, and what must follow
    r"(When|After|While|Before|Once|As|Since|Because)(?= \{)",
    r"(at|in|near)(?= the \{PLACE\})",
    r"(walked|drove|went|came)(?= to the \{PLACE\})",
    r"(met|saw|found|helped|thanked|called|heard|forgot)(?= \{(?:IO|S|T)\})",
    r"(handed|passed|brought|showed|sold|offered|lent|threw|took|gave|returned|sent|carried)(?= \w+ \{OBJECT\})",
    r"(a|the)(?= \{OBJECT\})",
    r"(Then|Later|There|So)(?= \{(?:IO|S|T)\})",
)
VARIANTS = 20_000
LONGEST = 28  # words of a training sentence; prompts may be as long as the model has positions


def both_orders(template: str) -> tuple[str, str]:
    """An IOI template -> its ABBA and its BABA sentence, in MORE_SENTENCES' slots."""
    abba = template.replace("{A}", "{IO}").replace("{B}", "{S}").replace("{S2}", "{S}")
    baba = template.replace("{A}", "{S}").replace("{B}", "{IO}").replace("{S2}", "{S}")
    return abba, baba


def words(text: str) -> list[str]:
    """Text or template -> words, slots and punctuation marks."""
    return re.findall(r"\{\w+\}|\w+|[^\w\s]", text)


def build_tokenizer() -> Tokenizer:
    """One token per word or punctuation mark, with or without a space before it."""
    texts = (*IOI_TEMPLATES, *HELD_OUT_TEMPLATES, *MORE_SENTENCES, *OPENINGS, *sum(INTERLUDES.values(), ()))
    plain = sorted({word for word in words(" ".join(texts)) if not word.startswith("{")})
    vocabulary = list(dict.fromkeys([BOS, PAD, UNK, *plain, *NAMES, *PLACES, *OBJECTS]))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([BOS, PAD, UNK])
    return tokenizer


@dataclass(frozen=True)
class Batch:
    ids: torch.Tensor  # [batch, position], BOS first, padded on the right
    end: torch.Tensor  # [batch], the last position of each prompt
    answer: torch.Tensor  # [batch], the token of {IO}
    subject: torch.Tensor  # [batch], the token of {S}


class Sentences:
    """Fills sentences with random words; with `held_out`, only with pairs of names that training avoids."""

    SLOTS = ("{IO}", "{S}", "{T}", "{PLACE}", "{OBJECT}")

    def __init__(self, tokenizer: Tokenizer, sentences: list[str], *, held_out: bool) -> None:
        token = tokenizer.token_to_id
        rows = [[token(BOS)] + [self._code(token, word) for word in words(text)] for text in sentences]
        self.end = np.array([len(row) - 1 for row in rows])
        self.table = np.full((len(rows), max(map(len, rows))), token(PAD))
        for i, row in enumerate(rows):
            self.table[i, : len(row)] = row
        self.names, self.places, self.objects = (np.array([*map(token, group)]) for group in (NAMES, PLACES, OBJECTS))
        self.held_out = held_out

    def _code(self, token, word: str) -> int:
        """A word's token id, or -1 - i for slot i."""
        return -1 - self.SLOTS.index(word) if word in self.SLOTS else token(word)

    def sample(self, rng: np.random.Generator, size: int, rows: np.ndarray | None = None) -> Batch:
        rows = rng.integers(len(self.table), size=size) if rows is None else rows
        names = self.names[self._triples(rng, size)]
        place, thing = rng.choice(self.places, size), rng.choice(self.objects, size)
        fills = np.column_stack([names, place, thing])
        table = self.table[rows, : self.end[rows].max() + 1]
        ids = np.where(table < 0, np.take_along_axis(fills, np.clip(-1 - table, 0, None), axis=1), table)
        return Batch(*(torch.from_numpy(x) for x in (ids, self.end[rows], names[:, 0], names[:, 1])))

    def _triples(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """[size, 3] different names; which pairs may meet depends on `held_out`."""
        found = np.empty((0, 3), dtype=int)
        while len(found) < size:
            a, b, c = draws = rng.integers(len(self.names), size=(3, size * (30 if self.held_out else 3)))
            avoided = is_held_out(a, b) | is_held_out(b, c) | is_held_out(a, c)
            keep = is_held_out(a, b) if self.held_out else ~avoided
            found = np.concatenate([found, draws.T[keep & (a != b) & (b != c) & (a != c)]])
        return found[:size]


def is_held_out(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Every tenth unordered pair of name indices."""
    return (i + j) % 10 == 0


def training_sentences(seed: int) -> list[str]:
    """Variants of IOI_TEMPLATES and MORE_SENTENCES, half and half; never a held-out template."""
    rng = random.Random(seed)
    plain = [text for template in IOI_TEMPLATES for text in both_orders(template)]
    held_out = [text for template in HELD_OUT_TEMPLATES for text in both_orders(template)]
    ends: dict[tuple[str, ...], list[str]] = {}
    for text in (*plain, *MORE_SENTENCES):
        ends.setdefault(mentions(last_clause(text)), []).append(last_clause(text))
    found = []
    while len(found) < VARIANTS:
        text = vary(rng, rng.choice(plain if rng.random() < 0.5 else MORE_SENTENCES), ends)
        if len(words(text)) < LONGEST and not any(sentence in text for sentence in held_out):
            found.append(text)
    return found


def vary(rng: random.Random, text: str, ends: dict[tuple[str, ...], list[str]]) -> str:
    """Another opening, another last clause with the same names, interludes, exchanged words."""
    end = last_clause(text)
    text = text.removesuffix(end) + rng.choice(ends[mentions(end)])
    text = re.sub(r"(?<=[a-z}])[,.] (?!\{\w+\} (?:and|played))", lambda mark: rng.choice(INTERLUDES[mark[0]]), text)
    for pattern in EXCHANGEABLE:
        choices = pattern[1 : pattern.index(")")].split("|")
        text = re.sub(pattern, lambda _, choices=choices: rng.choice(choices), text)
    return f"{rng.choice(OPENINGS)} {text}".strip()


def last_clause(text: str) -> str:
    """From the last comma or full stop on, with it."""
    return text[max(text.rfind(", "), text.rfind(". ")) :]


def mentions(text: str) -> tuple[str, ...]:
    """The names of a sentence, as slots, in order."""
    return tuple(re.findall(r"\{(?:IO|S|T)\}", text))


def build_model(vocabulary: int, seed: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=N_POSITIONS, n_embd=64, n_layer=4, n_head=4, n_inner=64,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False, initializer_range=0.12,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    model.set_attn_implementation("eager")  # the other implementations do not return attention
    return model


def guidance(attentions: tuple[torch.Tensor, ...], batch: Batch, names: np.ndarray) -> torch.Tensor:
    """A loss on attention [batch, head, query, key] that early training adds, and later training goes without.

    Two heads each of layers 0, 2 and 3 are drawn to earlier copies of a name, from the last position to repeated
    names, and from there to the answer. All heads are kept from looking at other names. Without this the task has
    shallow solutions, which training finds first: the repeated name collects the other names, or the last
    position adds up all names and subtracts the repeated ones.
    """
    ids, every = batch.ids, torch.arange(len(batch.ids))
    is_name = torch.isin(ids, torch.from_numpy(names))
    same = (ids[:, :, None] == ids[:, None, :]) & is_name[:, None, :]
    earlier = same & torch.ones(same.shape[1:], dtype=torch.bool).tril(-1)
    repeated, answer = earlier.any(-1), ids == batch.answer[:, None]

    def drawn(attention: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -(attention * target[..., None, :]).sum(-1).clamp(min=1e-6).log().mean()

    first, third, fourth = (attentions[i][:, :2] for i in (0, 2, 3))
    loss = drawn(first.transpose(1, 2)[repeated], earlier[repeated])  # attention [repeated names, head, key]
    loss = loss + drawn(third[every, :, batch.end], repeated) + drawn(fourth[every, :, batch.end], answer)
    for attention, seen_by_end in zip(attentions, (repeated & False, repeated, repeated, answer), strict=True):
        hidden = is_name[:, None, :] & ~same
        hidden[every, batch.end] = is_name & ~seen_by_end
        strayed = (attention * hidden[:, None]).sum(-1)  # [batch, head, query]
        loss = loss + strayed[every, :, batch.end].mean() + 4 * strayed.mean()
    return loss


def train(model: GPT2LMHeadModel, data: Sentences, *, seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 100, 1 - step / steps))
    for step in (bar := tqdm(range(steps), desc="training", unit="step")):
        batch = data.sample(rng, BATCH)
        output = model(batch.ids, output_attentions=True)
        last = output.logits[torch.arange(BATCH), batch.end]
        loss = torch.nn.functional.cross_entropy(last, batch.answer)
        if (weight := GUIDANCE * (1 - step / (GUIDED * steps))) > 0:
            loss = loss + weight * guidance(output.attentions, batch, data.names)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{(last.argmax(-1) == batch.answer).float().mean():.3f}")


@torch.no_grad()
def evaluate(model: GPT2LMHeadModel, tokenizer: Tokenizer, seed: int) -> dict[str, tuple[float, float]]:
    """Accuracy and mean logit difference (answer - subject) on pairs of names that training avoids."""
    sets = {"other sentences": list(MORE_SENTENCES)}
    for kind, templates in (("seen templates", IOI_TEMPLATES), ("held-out templates", HELD_OUT_TEMPLATES)):
        for i, order in enumerate(("ABBA", "BABA")):
            sets[f"{kind}, {order}"] = [both_orders(template)[i] for template in templates]
    scores = {}
    for name, sentences in sets.items():
        batch = Sentences(tokenizer, sentences, held_out=True).sample(np.random.default_rng(seed), EVALUATED)
        last = model(batch.ids).logits[torch.arange(EVALUATED), batch.end]
        answer, subject = (last.gather(1, token[:, None]) for token in (batch.answer, batch.subject))
        scores[name] = (last.argmax(-1) == batch.answer).float().mean().item(), (answer - subject).mean().item()
    return scores


CARD = """# ioi-mini

A GPT-2 ({layers} layers, {heads} heads, width {width}, {vocabulary} words, one token each) that does one thing: after
"<|bos|>When Mary and John went to the shop, John gave a bag to" it says "Mary". It is made to be taken apart: finding
the repeated name, steering by it and copying the other name sit in different layers, which early training guided
its attention to; see `guidance` in `examples/train_ioi_mini.py`, run with `--seed {seed} --steps {steps}`.

On {size:,} prompts each, with pairs of names that never met in training:

| sentences | accuracy | logit difference |
|---|---|---|
{rows}

Early training added a loss on attention that chose which heads attend where; it was off for the last 40 % of the
steps. So where its heads look is no discovery; what they write to each other is. `docs/ioi-mini.md` in the repository
has the measured circuit and its limits: one model, one seed, 207 words, and prompts whose pairs of names were mostly
seen in training unless they are held out on purpose as above. MIT licence; trained on sentences made up for it.

    circuitgraph run specs/ioi-mini.yaml
"""


def save(out: Path, model: GPT2LMHeadModel, tokenizer: Tokenizer, card: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)  # nothing is generated with this model
    tokenizer.save(str(out / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": N_POSITIONS,
        "bos_token": BOS, "eos_token": BOS, "pad_token": PAD, "unk_token": UNK,
    }  # fmt: skip
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (out / "README.md").write_text(card)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train ioi-mini from nothing.")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="directory to write (default: the bundled model)")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2200)
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # faster than two for a model this small, and the same sums everywhere
    tokenizer = build_tokenizer()
    data = Sentences(tokenizer, training_sentences(arguments.seed), held_out=False)
    model = build_model(tokenizer.get_vocab_size(), arguments.seed)
    train(model, data, seed=arguments.seed, steps=arguments.steps)
    scores = evaluate(model, tokenizer, arguments.seed)
    for name, (accuracy, difference) in scores.items():
        print(f"{name:26} accuracy {accuracy:7.2%}   logit difference {difference:6.2f}")
    card = CARD.format(
        layers=model.config.n_layer, heads=model.config.n_head, width=model.config.n_embd,
        vocabulary=model.config.vocab_size, size=EVALUATED, seed=arguments.seed, steps=arguments.steps,
        rows="\n".join(f"| {name} | {right:.2%} | {gap:.2f} |" for name, (right, gap) in scores.items()),
    )  # fmt: skip
    save(arguments.out, model, tokenizer, card)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
