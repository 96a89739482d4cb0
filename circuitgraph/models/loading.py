"""Load a located model: bundled, directory or hub, Hugging Face or TransformerLens layout.

One path for all of them: a hub model is downloaded to its cache directory first and loaded from there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from circuitgraph.errors import InputError, ModelError
from circuitgraph.graph.shape import ModelShape
from circuitgraph.models.bridge import TransformerModel
from circuitgraph.models.families import is_tl_layout, shape_of
from circuitgraph.models.fingerprint import fingerprint, weight_files
from circuitgraph.models.locate import Location
from circuitgraph.models.patterns import open_patterns
from circuitgraph.models.rules import attention_rules
from circuitgraph.models.shape import read_config
from circuitgraph.models.threads import fitting_threads

_DOWNLOAD = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer.json", "tokenizer_config.json")

# Fields of a TransformerLens config that change what the model computes and that the native
# implementation does not have; any other value than the one named here is refused.
_UNSUPPORTED = {
    "parallel_attn_mlp": False,
    "use_local_attn": False,
    "use_qk_norm": False,
    "use_normalization_before_and_after": False,
    "scale_attn_by_inverse_layer_idx": False,
    "post_embedding_ln": False,
    "use_attn_scale": True,
    "num_experts": None,
    "relative_attention_max_distance": None,
    "use_NTK_by_parts_rope": False,
}
# Fields of which TransformerLens takes any unknown value for one of these.
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "normalization_type": (None, "LN", "LNPre", "RMS", "RMSPre"),
    "attention_dir": ("causal", "bidirectional"),
}


def load_model(location: Location, *, dtype: str = "float32", device: str = "auto") -> TransformerModel:
    """Load a model and prove that it can be measured.

    Args:
        location: from `locate`.
        dtype: float32, float64, bfloat16 or float16.
        device: "auto" (CUDA if there is one), "cpu", "cuda", "cuda:1".

    Raises:
        ModelError: files missing or unreadable, family not supported.
        AuditError: the loaded model does not pass a proof.
    """
    from circuitgraph.models.proofs import prove

    directory = fetch(location)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    place = _device(device)
    config = read_config(directory)
    shape = shape_of(config)
    load = _load_tl_layout if is_tl_layout(config) else _load_hugging_face
    module, soft_cap, bridge = load(directory, config, getattr(torch, dtype), place)
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    open_patterns(shape.family, module, bridge)
    rules = attention_rules(shape.family, module, shape.layers)
    model = TransformerModel(bridge, _checked(shape, bridge), rules, fingerprint(directory), soft_cap)
    with fitting_threads(shape):
        prove(model)
    return model


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    have = "have: auto, cpu, cuda, cuda:0 …"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"'{name}' is no device; {have}") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"'{name}' is no device that is supported; {have}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device '{name}' was asked for, but PyTorch sees no CUDA device")
    return device


def fetch(location: Location) -> Path:
    """The directory of a model's files; a hub model whose weights are not on this disk is downloaded.

    Raises:
        ModelError: the download failed.
    """
    if location.path is not None and (location.kind != "hub" or any(location.path.glob("*.safetensors"))):
        return location.path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(location.name, revision=location.revision, allow_patterns=list(_DOWNLOAD)))
    except Exception as error:  # the hub client raises many unrelated types
        raise ModelError(
            f"'{location.name}' could not be downloaded ({str(error).splitlines()[0]}); "
            "where there is no network, name a directory with its files: --set model.name=DIRECTORY"
        ) from error


def _load_hugging_face(
    directory: Path, config: Mapping[str, Any], dtype: torch.dtype, device: torch.device
) -> tuple[nn.Module, float | None, Any]:
    weight_files(directory)
    if config.get("quantization_config"):
        raise ModelError(f"{directory / 'config.json'}: quantized checkpoints are not supported")
    with _quiet():
        from transformer_lens.model_bridge.sources import build_bridge_from_module
        from transformers import AutoModelForCausalLM

        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(directory),
                dtype=dtype,
                attn_implementation="eager",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # They are told in the loading info, and refused below.
            )
        except Exception as error:  # transformers checks configs with many unrelated types
            raise ModelError(f"{directory}: the model cannot be loaded: {_reason(error)}") from error
        module, info = loaded
        _refuse_keys(directory, "missing weights", info["missing_keys"])
        _refuse_keys(directory, "unexpected weights", info["unexpected_keys"])
        _refuse_keys(
            directory, "weights of another shape than config.json says", [k for k, *_ in info["mismatched_keys"]]
        )
        module = module.to(device).eval()
        try:
            bridge = build_bridge_from_module(module, type(module).__name__, hf_config=module.config, device=device)
        except (AssertionError, AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise ModelError(f"{directory}: TransformerLens cannot wrap this model: {_reason(error)}") from error
    return module, config.get("final_logit_softcapping"), bridge


def _load_tl_layout(
    directory: Path, config: Mapping[str, Any], dtype: torch.dtype, device: torch.device
) -> tuple[nn.Module, float | None, Any]:
    from safetensors.torch import load_file

    for name, fine in _UNSUPPORTED.items():
        if config.get(name, fine) not in (fine, None):
            raise ModelError(f"{directory / 'config.json'}: {name}: {config[name]!r} is not supported")
    for name, choices in _CHOICES.items():
        if config.get(name, choices[0]) not in choices:
            have = ", ".join("null" if choice is None else choice for choice in choices)
            raise ModelError(f"{directory / 'config.json'}: {name}: {config[name]!r} is none of: {have}")
    if config.get("positional_embedding_type") == "rotary" and not config.get("rotary_adjacent_pairs"):
        # The native implementation rotates adjacent pairs whatever the config says.
        raise ModelError(
            f"{directory / 'config.json'}: rotary embeddings that rotate halves are not supported "
            "in this layout, only rotary_adjacent_pairs: true"
        )
    with _quiet():
        from transformer_lens.config import TransformerBridgeConfig
        from transformer_lens.model_bridge.sources.native import boot
        from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

        fields = {name: value for name, value in config.items() if name not in ("device", "dtype")}
        # An absent norm type would silently become LayerNorm; null means that there is no norm.
        fields["normalization_type"] = config.get("normalization_type")
        try:
            bridge = boot(TransformerBridgeConfig.from_dict(fields), device=device, dtype=dtype)
            states = [load_file(str(file)) for file in weight_files(directory)]
            # Rotation tables are computed from the config.
            tables = (".rotary_sin", ".rotary_cos")
            state = {name: tensor for part in states for name, tensor in part.items() if not name.endswith(tables)}
            loaded = bridge.load_state_dict(convert_tl_checkpoint(state, bridge.cfg), strict=False)
        except (ValueError, TypeError, RuntimeError, NotImplementedError, SafetensorError) as error:
            raise ModelError(f"{directory}: {str(error).splitlines()[0]}") from error
    _refuse_keys(directory, "missing weights", loaded.missing_keys)
    _refuse_keys(directory, "unexpected weights", loaded.unexpected_keys)
    cap = config.get("output_logits_soft_cap") or -1.0
    return bridge.original_model, cap if cap > 0 else None, bridge.eval()


def _reason(error: Exception) -> str:
    """The first line of a library's error, with its type where the text alone says little."""
    text = str(error).strip().partition("\n")[0]
    return (
        text if isinstance(error, OSError | ValueError | RuntimeError) and text else f"{type(error).__name__}: {text}"
    )


def _refuse_keys(directory: Path, what: str, keys: Iterable[str]) -> None:
    # TransformerLens registers a wrapped module under several names that differ in this part.
    names = sorted({key.replace("_original_component.", "") for key in keys})
    if names:
        shown = ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
        raise ModelError(f"{directory}: {what}: {shown}")


def _checked(shape: ModelShape, bridge: Any) -> ModelShape:
    """The shape that config.json promised, if the loaded model has it."""
    if len(bridge.blocks) != shape.layers:
        raise ModelError(f"config.json says {shape.layers} layers, the model has {len(bridge.blocks)}")
    # A config.json may leave out what its family has a default for.
    cfg = bridge.cfg
    found = {
        "heads": cfg.n_heads,
        "key/value heads": getattr(cfg, "n_key_value_heads", None) or cfg.n_heads,
        "dimensions of a head": cfg.d_head,
    }
    promised = dict(zip(found, (shape.heads, shape.kv_heads, shape.d_head), strict=True))
    for what, number in promised.items():
        if number != found[what]:
            raise ModelError(f"config.json says {number} {what}, the model has {found[what]}")
    return shape


class _quiet:  # noqa: N801 (used as a function)
    """No loading bars and notices from the libraries while a model is loaded."""

    def __enter__(self) -> None:
        self._bars = os.environ.get("TQDM_DISABLE")
        os.environ["TQDM_DISABLE"] = "1"
        from transformers.utils import logging as hf_logging

        hf_logging.disable_progress_bar()
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self._level)
        if self._bars is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = self._bars
