"""Addresses: parse every spelling people use, write back the canonical one. Pure text, no model.

    a9.h6<q>@S1+1
    └─┬──┘└┬┘└─┬┘
     node port position

The canonical names are those of EAP-IG and the MIB benchmark; the other spellings that
`parse` accepts ("9.6", L9H6, A9.6.q, blocks.9.attn.hook_z[:, :, 6], MLP 9 …) come back canonical.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from circuitgraph.errors import AddressError


class Port(StrEnum):
    """An input of an attention head; PATTERN is what q and k become, which can be patched and is no input."""

    Q = "q"
    K = "k"
    V = "v"
    PATTERN = "pattern"


ALL_PORTS = (Port.Q, Port.K, Port.V)
"""The inputs that an address without a port means."""


@dataclass(frozen=True, order=True, slots=True)
class Input:
    """The residual stream entering block 0: token (and position) embedding."""

    def __str__(self) -> str:
        return "input"


@dataclass(frozen=True, order=True, slots=True)
class Attention:
    """A whole attention layer: its heads jointly."""

    layer: int

    def __str__(self) -> str:
        return f"a{self.layer}"


@dataclass(frozen=True, order=True, slots=True)
class Head:
    """One attention head."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"a{self.layer}.h{self.index}"


@dataclass(frozen=True, order=True, slots=True)
class KVHead:
    """A key/value head that several query heads share (grouped-query attention); a receiver only."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"a{self.layer}.kv{self.index}"


@dataclass(frozen=True, order=True, slots=True)
class MLP:
    """One MLP."""

    layer: int

    def __str__(self) -> str:
        return f"m{self.layer}"


@dataclass(frozen=True, order=True, slots=True)
class Neuron:
    """One MLP neuron, after its activation function."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"m{self.layer}.n{self.index}"


@dataclass(frozen=True, order=True, slots=True)
class Residual:
    """The residual stream before block `layer` (after the last one: the number of layers), or between its halves."""

    layer: int
    mid: bool = False

    def __str__(self) -> str:
        return f"r{self.layer}.mid" if self.mid else f"r{self.layer}"


@dataclass(frozen=True, order=True, slots=True)
class Logits:
    """The final residual stream, read as logits."""

    def __str__(self) -> str:
        return "logits"


@dataclass(frozen=True, order=True, slots=True)
class Sae:
    """A sparse autoencoder of a spec: its name there, the residual stream that it reads, and how many features it has.

    `width` None = not known, where its file could not be read.
    """

    name: str
    site: Input | Residual
    width: int | None = None

    def __str__(self) -> str:
        return f"sae.{self.name}"


@dataclass(frozen=True, order=True, slots=True)
class Feature:
    """One feature of a sparse autoencoder: how strongly it is active."""

    sae: Sae
    index: int

    def __str__(self) -> str:
        return f"{self.sae}.f{self.index}"

    @property
    def layer(self) -> int:
        """The block before which (or in the middle of which) its stream is."""
        return _layer_of_site(self.sae)


@dataclass(frozen=True, order=True, slots=True)
class SaeError:
    """What a sparse autoencoder does not reconstruct of the residual stream that it reads."""

    sae: Sae

    def __str__(self) -> str:
        return f"{self.sae}.error"

    @property
    def layer(self) -> int:
        """The block before which (or in the middle of which) its stream is."""
        return _layer_of_site(self.sae)


def _layer_of_site(sae: Sae) -> int:
    return 0 if isinstance(sae.site, Input) else sae.site.layer


Node = Input | Attention | Head | KVHead | MLP | Neuron | Residual | Logits | Feature | SaeError


@dataclass(frozen=True, order=True, slots=True)
class Position:
    """A named position plus an offset (`S1+1`), or an index into the prompt (`-1`).

    An index has an empty name; it counts the tokens of the prompt as the user wrote it,
    without BOS and padding, negative from the end.
    """

    name: str
    offset: int = 0

    def __str__(self) -> str:
        if not self.name:
            return str(self.offset)
        return self.name + (f"{self.offset:+d}" if self.offset else "")


EACH = Position("each")
"""`@each`: every token in turn, one experiment for each; in entries of `nodes:`."""


@dataclass(frozen=True, slots=True)
class Address:
    """A node, the ports of it that are meant (none = all), and where.

    `position` is where a sender's output or a receiver's input changes; None = everywhere.
    `output` is set on inner nodes of a chain alone (`a2.h3<v>@S2>END`).
    """

    node: Node
    ports: tuple[Port, ...] = ()
    position: Position | None = None
    output: Position | None = None

    def __str__(self) -> str:
        ports = f"<{','.join(self.ports)}>" if self.ports else ""
        position = f"@{self.position}" if self.position is not None else ""
        output = f">{self.output}" if self.output is not None else ""
        return f"{self.node}{ports}{position}{output}"

    def at(self, position: Position | None) -> Address:
        """The same node and ports at another position."""
        return replace(self, position=position)


@dataclass(frozen=True, slots=True)
class NodePattern:
    """A node with wildcards: `a*.h*` is `NodePattern("h", None, None)`."""

    kind: str
    layer: int | None
    index: int | None
    sae: str = ""
    """The name of the sparse autoencoder whose feature (`f`) or error (`error`) is meant."""


class Reference(NamedTuple):
    """An address whose head is still text: a node, a pattern or the name of a group."""

    name: str
    ports: tuple[Port, ...]
    position: Position | None
    output: Position | None


_SUFFIX = re.compile(
    r"""^(?P<name>.*?)
        (?: \s*<(?P<ports>[^<>@]*)> )?
        (?: \s*@\s*(?P<position>[^@>]+?) (?: \s*>\s*(?P<output>[^@>]+?) )? )?\s*$""",
    re.VERBOSE | re.DOTALL,
)
_POSITION = re.compile(
    r"^(?:(?P<index>[+-]?[0-9]{1,9})|(?P<name>[A-Za-z_][\w.-]*?(?<![.-]))\s*(?P<offset>[+-]\s*[0-9]{1,9})?)$"
)
_TRAILING_PORT = re.compile(r"^(?P<name>.*\d)[._](?P<port>[qkvQKV])$")

_N = r"(\d{1,9}|\*)"
_SPELLINGS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE | re.ASCII))
    for kind, pattern in (
        ("input", r"(?:input|embed|r0|blocks\.0\.hook_resid_pre)"),
        ("logits", r"logits"),
        ("h", rf"a{_N}\.h{_N}"),
        ("h", rf"a?{_N}\.{_N}"),
        ("h", rf"L{_N}H{_N}"),
        ("h", rf"blocks\.{_N}\.attn\.hook_(?:z|result)\[:,\s*:,\s*{_N}\]"),
        ("kv", rf"a{_N}\.kv{_N}"),
        ("a", rf"a{_N}"),
        ("a", rf"blocks\.{_N}\.hook_attn_out"),
        ("m", rf"(?:m|MLP\s*){_N}"),
        ("m", rf"blocks\.{_N}\.hook_mlp_out"),
        ("n", rf"m{_N}\.n{_N}"),
        ("n", rf"L{_N}N{_N}"),
        ("n", rf"blocks\.{_N}\.mlp\.hook_post\[:,\s*:,\s*{_N}\]"),
        ("mid", rf"(?:r{_N}\.mid|blocks\.{_N}\.hook_resid_mid)"),
        ("r", rf"(?:r{_N}|blocks\.{_N}\.hook_resid_pre)"),
    )
)
SAE_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
"""What a sparse autoencoder may be called."""
_SAE_PART = re.compile(rf"sae\.({SAE_NAME})\.(?:f{_N}|(error))", re.ASCII)
_HOOK_PORT = re.compile(r"blocks\.(\d+)\.attn\.hook_(?:([qkv])\[:,\s*:|(pattern)\[:),\s*(\d+)\]", re.ASCII)
_HOOK_POST = re.compile(r"blocks\.(\d{1,9})\.hook_resid_post", re.IGNORECASE | re.ASCII)

EXAMPLES = "input, a9.h6, a9.h6<q>, a9, m9, m9.n123, r9, r9.mid, a9.kv2<k>, logits"


def parse(text: str) -> Address:
    """Read one address in any accepted spelling.

    Raises:
        AddressError: the text is no address, or holds a wildcard.
    """
    reference = split(text)
    pattern = parse_node(reference.name)
    if pattern is None:
        raise AddressError(f"'{text}' is no node; nodes are written like {EXAMPLES}")
    if pattern.sae:
        raise AddressError(f"'{text}' belongs to a sparse autoencoder, which the saes: of a spec declare")
    node = instantiate(pattern)
    if node is None:
        raise AddressError(f"'{text}' is a pattern; one node is needed here")
    return Address(node, reference.ports, reference.position, reference.output)


def split(text: str) -> Reference:
    """Separate name, ports and positions; the name may be a node, a pattern or a group.

    Raises:
        AddressError: ports or positions cannot be read.
    """
    text = text.strip()
    if hook := _HOOK_PORT.match(text):
        text = f"a{hook[1]}.h{hook[4]}<{hook[2] or hook[3]}>{text[hook.end() :]}"
    match = _SUFFIX.match(text)
    if match is None or not match["name"].strip():
        raise AddressError(f"'{text}' is no address; write node<port>@position, for example a9.h6<q>@END")
    name, ports = match["name"].strip(), match["ports"]
    if ports is None and (trailing := _TRAILING_PORT.match(name)):
        name, ports = trailing["name"], trailing["port"]
    return Reference(
        name,
        () if ports is None else _parse_ports(ports, text),
        None if match["position"] is None else parse_position(match["position"]),
        None if match["output"] is None else parse_position(match["output"]),
    )


def _parse_ports(text: str, whole: str) -> tuple[Port, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    if names == [Port.PATTERN]:
        return (Port.PATTERN,)
    if any(name not in ALL_PORTS for name in names) or len(set(names)) != len(names):
        raise AddressError(
            f"<{text}> in '{whole}' is no port; ports are <q>, <k>, <v>, lists such as <k,v>, and <pattern>"
        )
    return tuple(port for port in ALL_PORTS if port in names)


def parse_position(text: str) -> Position:
    """Read `END`, `S1+1` or `-1`.

    Raises:
        AddressError: the text is no position.
    """
    match = _POSITION.match(text.strip())
    if match is None:
        raise AddressError(f"'@{text}' is no position; write a name (@END), an offset (@S1+1) or an index (@-1)")
    if match["index"] is not None:
        if match["index"].startswith("-") and not int(match["index"]):
            raise AddressError(f"'@{text}' is no position; the last token is @-1, the first @0")
        return Position("", int(match["index"]))
    return Position(match["name"], int(match["offset"].replace(" ", "")) if match["offset"] else 0)


def parse_node(name: str) -> NodePattern | None:
    """Read a node or a pattern such as `a*.h3`; None if it is neither."""
    if after := _HOOK_POST.fullmatch(name.strip()):
        return NodePattern("r", int(after[1]) + 1, None)
    if part := _SAE_PART.fullmatch(name.strip()):
        index = None if part[2] in (None, "*") else int(part[2])
        return NodePattern("error" if part[3] else "f", None, index, part[1])
    for kind, pattern in _SPELLINGS:
        if match := pattern.fullmatch(name.strip()):
            numbers = [None if group == "*" else int(group) for group in match.groups() if group is not None]
            layer, index = [*numbers, None, None][:2]
            return NodePattern(kind, layer, index)
    return None


def instantiate(pattern: NodePattern) -> Node | None:
    """The single node of a model that a pattern without wildcards stands for; None if it has wildcards."""
    kind, layer, index = pattern.kind, pattern.layer, pattern.index
    match kind:
        case "input":
            return Input()
        case "logits":
            return Logits()
    if layer is None or (kind in ("h", "kv", "n") and index is None):
        return None
    match kind:
        case "a":
            return Attention(layer)
        case "m":
            return MLP(layer)
        case "mid":
            return Residual(layer, mid=True)
        case "r":
            return Residual(layer) if layer else Input()
    if index is None:
        return None
    return {"h": Head, "kv": KVHead, "n": Neuron}[kind](layer, index)


def layer_of(node: Node) -> int | None:
    """The block a node belongs to; None for `input` and `logits`."""
    return None if isinstance(node, Input | Logits) else node.layer


def is_pattern(pattern: NodePattern) -> bool:
    """Whether it has wildcards."""
    return pattern.kind == "f" and pattern.index is None if pattern.sae else instantiate(pattern) is None


def is_part(part: Node, whole: Node) -> bool:
    """Whether `whole` contains `part`: a head or a kv head of its layer, a neuron of its MLP."""
    match part, whole:
        case (Head(layer), Attention(other)) | (KVHead(layer), Attention(other)) | (Neuron(layer), MLP(other)):
            return layer == other
        case _:
            return False
