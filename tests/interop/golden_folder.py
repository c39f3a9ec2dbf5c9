"""Hugging Face folders of the golden models, written without torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

GOLDEN = Path(__file__).parents[1] / "golden"
BERT = {
    "vocab_size": 48,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}
T5 = {"vocab_size": 48, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 2}
XLNET = {
    "vocab_size": 48,
    "d_model": 16,
    "n_layer": 2,
    "n_head": 2,
    "d_inner": 24,
    "ff_activation": "gelu_new",
}
FUNNEL = {
    "vocab_size": 48,
    "block_sizes": [2, 1, 1],
    "block_repeats": [1, 2, 1],
    "d_model": 16,
    "n_head": 2,
    "d_head": 8,
    "d_inner": 24,
    "num_decoder_layers": 1,
}
THREE_LABELS = {"id2label": {"0": "no", "1": "yes", "2": "both"}}
# name of the golden file -> model_type, class, what config.json says beside them
# Without a decoder; how many layers it would have is not kept.
FUNNEL_BASE = {**FUNNEL, "attention_type": "factorized", "num_decoder_layers": 0}
CONFIGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": (
        "gpt2",
        "GPT2LMHeadModel",
        {
            "vocab_size": 48,
            "n_positions": 16,
            "n_embd": 16,
            "n_layer": 2,
            "n_head": 2,
            "n_inner": 24,
        },
    ),
    "bert": ("bert", "BertModel", BERT),
    "bert_masked": ("bert", "BertForMaskedLM", BERT),
    "bert_classifier": ("bert", "BertForSequenceClassification", {**BERT, **THREE_LABELS}),
    "electra": ("electra", "ElectraForPreTraining", {**BERT, "embedding_size": 12}),
    "electra_generator": ("electra", "ElectraForMaskedLM", {**BERT, "embedding_size": 12}),
    "t5": ("t5", "T5ForConditionalGeneration", T5),
    "t5_1_1": (
        "t5",
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "switch": (
        "switch_transformers",
        "SwitchTransformersForConditionalGeneration",
        {
            **T5,
            "num_decoder_layers": 2,
            "num_sparse_encoder_layers": 1,
            "num_sparse_decoder_layers": 1,
            "num_experts": 4,
            "expert_capacity": 3,
        },
    ),
    "xlnet": ("xlnet", "XLNetModel", XLNET),
    "xlnet_permutation": ("xlnet", "XLNetLMHeadModel", XLNET),
    "xlnet_classifier": ("xlnet", "XLNetForSequenceClassification", {**XLNET, **THREE_LABELS}),
    "funnel": ("funnel", "FunnelModel", FUNNEL),
    "funnel_base": ("funnel", "FunnelBaseModel", FUNNEL_BASE),
}
SPECIAL = ["<pad>", "</s>", "<unk>", "<s>", "[MASK]", "[CLS]", "[SEP]"]
ROLES = dict(zip(("pad", "eos", "unk", "bos", "mask", "cls", "sep"), SPECIAL, strict=True))


def read(name: str, prefix: str = "weights/") -> dict[str, np.ndarray]:
    """Returns what a golden file has under a prefix."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key.removeprefix(prefix): file[key] for key in file if key.startswith(prefix)}


def config(name: str) -> dict[str, Any]:
    model_type, architecture, sizes = CONFIGS[name]
    return {"model_type": model_type, "architectures": [architecture], **sizes}


def tokenizer() -> tokenizers.Tokenizer:
    """Returns one of single letters after the special tokens: 33 ids."""
    pieces = [*SPECIAL, *map(chr, range(ord("a"), ord("z") + 1))]
    made = tokenizers.Tokenizer(
        models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>")
    )
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens(SPECIAL)
    return made


def write(name: str, folder: Path) -> Path:
    """Writes the folder of a golden model."""
    folder.mkdir(parents=True)
    save_file(read(name), folder / "model.safetensors")
    write_config(folder, config(name))
    tokenizer().save(str(folder / "tokenizer.json"))
    roles = {f"{role}_token": token for role, token in ROLES.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(roles))
    return folder


def write_config(folder: Path, values: Any) -> None:
    (folder / "config.json").write_text(json.dumps(values))
