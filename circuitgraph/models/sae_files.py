"""A sparse autoencoder's file, as far as its header tells: kind, names and shapes of its tensors. No torch.

The tensors are those of SAELens or of dictionary_learning, whose `encoder` and `decoder` are transposed. Nothing is
guessed: what two kinds of encoders have in common has to be told apart by the spec, the file's metadata, or, for
`sae_weights.safetensors` of SAELens, the `cfg.json` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from circuitgraph.errors import did_you_mean
from circuitgraph.nodes import Sae
from circuitgraph.spec.saes import SaeKind, SaeSpec

NAMES: Mapping[str, tuple[str, ...]] = {
    "W_enc": ("W_enc", "W_gate", "encoder.weight"),
    "b_enc": ("b_enc", "encoder.bias"),
    "W_dec": ("W_dec", "decoder.weight"),
    "b_dec": ("b_dec", "bias", "decoder_bias", "decoder.bias"),
    "threshold": ("threshold",),
    "r_mag": ("r_mag",),
    "b_gate": ("b_gate", "gate_bias"),
    "b_mag": ("b_mag", "mag_bias"),
    "k": ("k",),
}
"""What a tensor is → what files call it."""
TRANSPOSED = ("encoder.weight", "decoder.weight")
NEEDED: Mapping[SaeKind, tuple[str, ...]] = {
    SaeKind.STANDARD: ("W_enc", "b_enc", "W_dec", "b_dec"),
    SaeKind.TOP_K: ("W_enc", "b_enc", "W_dec", "b_dec"),
    SaeKind.JUMPRELU: ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"),
    SaeKind.GATED: ("W_enc", "W_dec", "b_dec", "r_mag", "b_gate", "b_mag"),
}
# Training leaves both in one file (batch top-k): which of them is used is the kind's matter.
_UNUSED = {SaeKind.TOP_K: ("k", "threshold"), SaeKind.JUMPRELU: ("k",)}
_FLOATS = ("F64", "F32", "F16", "BF16")
_KINDS = {"standard": SaeKind.STANDARD, "relu": SaeKind.STANDARD, "topk": SaeKind.TOP_K, "top_k": SaeKind.TOP_K,
          "top-k": SaeKind.TOP_K, "jumprelu": SaeKind.JUMPRELU, "jump_relu": SaeKind.JUMPRELU,
          "gated": SaeKind.GATED}  # fmt: skip
SAELENS_WEIGHTS, SAELENS_CONFIG = "sae_weights.safetensors", "cfg.json"
# Settings of SAELens that change what an encoder computes, and the values that do not.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "normalize_activations": (None, "none"),
    "reshape_activations": (None, "none"),
    "rescale_acts_by_decoder_norm": (None, False),
    "finetuning_scaling_factor": (None, False),
}


@dataclass(frozen=True)
class SaeFile:
    """A file with the tensors that its kind of encoder needs, of the right shapes.

    `tensors` maps what a tensor is (W_enc …) to its name in the file; `subtract`: the encoder reads x − b_dec.
    """

    sae: Sae
    path: Path
    kind: SaeKind
    tensors: Mapping[str, str]
    k: int | None
    subtract: bool

    def to_json(self) -> dict[str, Any]:
        """What decides its numbers beside the weights, in JSON types; `results.load` reads the node back."""
        return {
            "name": self.sae.name,
            "site": str(self.sae.site),
            "width": self.sae.width,
            "kind": self.kind.value,
            "k": self.k,
            "apply_b_dec_to_input": self.subtract,
        }


class Flaw(NamedTuple):
    """What is wrong, and the key of the spec's section that it concerns."""

    key: str
    message: str


@dataclass(frozen=True)
class _Header:
    """Names and shapes of all tensors, and what the file, or the file beside it, says in words."""

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    words: Mapping[str, Any]
    k: int | None


def read_sae(sae: Sae, spec: SaeSpec, base_dir: Path, d_model: int | None) -> tuple[SaeFile | None, Sequence[Flaw]]:
    """The file of a sparse autoencoder, or all that is wrong with it."""
    path = (base_dir / Path(spec.file).expanduser()).resolve()
    if path.suffix != ".safetensors":
        return None, [Flaw("file", f"'{spec.file}' is no .safetensors file; other formats of weights are not read")]
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in sorted(path.parent.glob("*.safetensors"))])
        return None, [Flaw("file", f"there is no file '{spec.file}'{near}")]
    try:
        header = _header(path)
    except (SafetensorError, OSError, ValueError) as error:
        return None, [Flaw("file", f"'{spec.file}' cannot be read as safetensors: {error}")]
    flaws = list(_read(header, sae, spec, path, d_model))
    found = [item for item in flaws if isinstance(item, SaeFile)]
    wrong = [item for item in flaws if isinstance(item, Flaw)]
    return (None if wrong else found[0]), wrong


def _header(path: Path) -> _Header:
    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        words: dict[str, Any] = {key: _word(value) for key, value in (file.metadata() or {}).items()}
        single = "k" in slices and slices["k"].get_shape() in ([], [1]) and slices["k"].get_dtype().startswith("I")
        k = int(file.get_tensor("k").item()) if single else None
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        types = {name: part.get_dtype() for name, part in slices.items()}
    beside = path.with_name(SAELENS_CONFIG)
    if path.name == SAELENS_WEIGHTS and beside.is_file():
        config = json.loads(beside.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError(f"{SAELENS_CONFIG} beside it is no JSON object")
        words = {**config, **words}
    return _Header(shapes, types, words, k)


def _word(text: str) -> Any:
    """A value of safetensors' metadata, which holds texts alone."""
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def _read(header: _Header, sae: Sae, spec: SaeSpec, path: Path, d_model: int | None) -> Iterator[Flaw | SaeFile]:
    known = {name: role for role, names in NAMES.items() for name in names}
    for key, plain in _PLAIN.items():
        if (value := header.words.get(key)) not in plain:
            yield Flaw("file", f"'{spec.file}' says {key}: {value}, which is not supported; fold it into the weights")
    if odd := sorted(set(header.shapes) - set(known)):
        yield Flaw("file", f"'{spec.file}' holds the tensor {odd[0]}, which no kind of encoder here has{_kinds()}")
        return
    tensors: dict[str, str] = {}
    for name in header.shapes:
        if (other := tensors.setdefault(known[name], name)) != name:
            yield Flaw("file", f"'{spec.file}' holds {other} and {name}, which are two names of one tensor")
            return
    kind = _kind(header, tensors, spec)
    if isinstance(kind, Flaw):
        yield kind
        return
    if missing := [role for role in NEEDED[kind] if role not in tensors]:
        yield Flaw("file", f"'{spec.file}' lacks {' and '.join(missing)}, which a {kind} encoder needs")
        return
    unused = [n for role, n in tensors.items() if role not in (*NEEDED[kind], *_UNUSED.get(kind, ()))]
    if unused:
        yield Flaw("kind", f"'{spec.file}' holds {unused[0]}, which a {kind} encoder does not have")
        return
    width = _width(header, tensors)
    yield from _shapes(header, {role: tensors[role] for role in NEEDED[kind]}, width, d_model, spec.file)
    k = _k(header, spec)
    if kind is SaeKind.TOP_K:
        if not isinstance(k, int) or isinstance(k, bool):
            yield Flaw("k", f"'{spec.file}' does not say how many features its top-k encoder keeps; write k: …")
        elif not 1 <= k <= width:
            yield Flaw("k", f"a top-k encoder cannot keep {k} of the {width} features of '{spec.file}'")
    elif spec.k is not None:
        yield Flaw("k", f"k has no meaning for a {kind} encoder")
    subtract = _subtract(header, tensors, kind, spec)
    if isinstance(subtract, Flaw):
        yield subtract
        return
    node = Sae(sae.name, sae.site, width)
    used = {role: tensors[role] for role in NEEDED[kind]}
    yield SaeFile(node, path, kind, used, int(k) if kind is SaeKind.TOP_K and k else None, subtract)


def _kind(header: _Header, tensors: Mapping[str, str], spec: SaeSpec) -> SaeKind | Flaw:
    """What the spec says, else what the file says in words, else what its tensors leave no doubt about."""
    if spec.kind is not None:
        return spec.kind
    said = header.words.get("kind", header.words.get("architecture"))
    activation = header.words.get("activation_fn", header.words.get("activation_fn_str"))
    if said in (None, "standard") and activation == "topk":
        said = "topk"
    if said is not None:
        if str(said).lower() in _KINDS:
            return _KINDS[str(said).lower()]
        choices = ", ".join(SaeKind)
        return Flaw("file", f"'{spec.file}' says that its encoder is '{said}'; supported are {choices}")
    if "r_mag" in tensors:
        return SaeKind.GATED
    k = "k" in tensors or spec.k is not None
    if k and "threshold" in tensors:
        return Flaw(
            "file",
            f"'{spec.file}' holds k and threshold: write kind: top-k to keep the k strongest features of each token, "
            "or kind: jumprelu to keep those above the threshold (as batch-top-k encoders do when they are used)",
        )
    if "threshold" in tensors:
        return SaeKind.JUMPRELU
    if k:
        return SaeKind.TOP_K
    return Flaw(
        "file",
        f"'{spec.file}' has the tensors of a standard and of a top-k encoder; write kind: standard, "
        "or kind: top-k with k: …",
    )


def _k(header: _Header, spec: SaeSpec) -> Any:
    kwargs = header.words.get("activation_fn_kwargs")
    nested = kwargs.get("k") if isinstance(kwargs, dict) else None
    return next((k for k in (spec.k, header.k, header.words.get("k"), nested) if k is not None), None)


def _subtract(header: _Header, tensors: Mapping[str, str], kind: SaeKind, spec: SaeSpec) -> bool | Flaw:
    """Whether the encoder reads x − b_dec."""
    said = spec.apply_b_dec_to_input
    said = header.words.get("apply_b_dec_to_input") if said is None else said
    if isinstance(said, bool):
        return said
    if tensors["b_dec"] in ("decoder.bias", "bias"):
        return tensors["b_dec"] == "bias"  # of dictionary_learning: what is called `bias` is subtracted
    if kind is SaeKind.JUMPRELU:
        return Flaw(
            "file",
            f"'{spec.file}' does not say whether its encoder reads x or x − b_dec, and jumprelu encoders do either: "
            "write apply_b_dec_to_input: false (as Gemma Scope) or true",
        )
    return True


def _width(header: _Header, tensors: Mapping[str, str]) -> int:
    name = tensors["W_dec"]
    shape = header.shapes[name]
    return (shape[-1] if name in TRANSPOSED else shape[0]) if shape else 0


def _shapes(header: _Header, tensors: Mapping[str, str], width: int, d_model: int | None, file: str) -> Iterator[Flaw]:
    """Tensors of other shapes, or of other types, than the model and the number of features ask for."""
    size = _stream_size(header, tensors) if d_model is None else d_model
    wanted = {"W_enc": (size, width), "W_dec": (width, size), "b_dec": (size,)}
    for role, name in tensors.items():
        found, expected = header.shapes[name], wanted.get(role, (width,))
        expected = expected[::-1] if name in TRANSPOSED else expected
        if found != expected and not (role == "threshold" and found in ((), (1,))):
            whose = "of this size" if d_model is None else f"for this model, whose stream has {size} numbers"
            yield Flaw(
                "file",
                f"'{file}': {name} is {_size(found)}; {_size(expected)} is needed {whose}, and {width} features",
            )
        elif header.types[name] not in _FLOATS:
            yield Flaw("file", f"'{file}': {name} holds {header.types[name]}; floating point numbers are needed")


def _stream_size(header: _Header, tensors: Mapping[str, str]) -> int:
    shape = header.shapes[tensors["b_dec"]]
    return shape[0] if shape else 0


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "a single number"


def _kinds() -> str:
    return f"; kinds are {', '.join(SaeKind)}"
