"""Hugging Face folders with random weights, made by transformers: what import is tested on.

Needs torch and transformers. A folder has its tokenizer, and `probe.npz`: features of one row and
what transformers makes of them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

TEXT = (
    "It was the best of times, it was the worst of times. Whether I shall turn out to be the hero?"
)
LENGTH = 12
SEEDS = 3


def byte_level(texts: list[str], size: int) -> Any:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet
    )
    made.train_from_iterator(texts, trainer)
    end = special[0]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=end, eos_token=end, unk_token=end
    )


def word_pieces(texts: list[str], size: int) -> Any:
    roles = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(roles.values()))
    made.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **roles)


def unigrams(texts: list[str], size: int, special: dict[str, str]) -> Any:
    made = tokenizers.Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(special.values()), unk_token=special["unk_token"]
    )
    made.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)


T5_TOKENS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
XLNET_TOKENS = {
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "<cls>",
    "sep_token": "<sep>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
TINY = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "bert": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
    },
    "t5": {"d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 2},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24},
    "funnel": {
        "block_sizes": [2, 1, 1],
        "num_decoder_layers": 1,
        "d_model": 16,
        "n_head": 2,
        "d_head": 8,
        "d_inner": 24,
    },
}
TINY["electra"] = {**TINY["bert"], "embedding_size": 12}
TINY["switch_transformers"] = {
    **TINY["t5"],
    "num_decoder_layers": 2,
    "num_sparse_encoder_layers": 1,
    "num_sparse_decoder_layers": 1,
    "num_experts": 4,
    "expert_capacity": 16,
}
BASE: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "bert": {},
    "t5": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "electra": {},
    "xlnet": {"d_model": 768, "n_layer": 12, "n_head": 12, "d_inner": 3072},
    "funnel": {},
    "switch_transformers": {"num_sparse_encoder_layers": 6, "num_sparse_decoder_layers": 6},
}
KINDS = {
    "gpt2": byte_level,
    "bert": word_pieces,
    "electra": word_pieces,
    "funnel": word_pieces,
    "t5": lambda texts, size: unigrams(texts, size, T5_TOKENS),
    "switch_transformers": lambda texts, size: unigrams(texts, size, T5_TOKENS),
    "xlnet": lambda texts, size: unigrams(texts, size, XLNET_TOKENS),
}
# Class and what its configuration says beside the sizes.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", {}),
    "bert_masked": ("BertForMaskedLM", {}),
    "bert_pretraining": ("BertForPreTraining", {}),
    "bert": ("BertModel", {}),
    "bert_classifier": ("BertForSequenceClassification", {"num_labels": 3}),
    "t5": ("T5ForConditionalGeneration", {}),
    "t5_1_1": (
        "T5ForConditionalGeneration",
        {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "electra": ("ElectraForPreTraining", {}),
    "electra_generator": ("ElectraForMaskedLM", {}),
    "electra_classifier": ("ElectraForSequenceClassification", {"num_labels": 3}),
    "xlnet": ("XLNetLMHeadModel", {}),
    "xlnet_classifier": ("XLNetForSequenceClassification", {"num_labels": 2}),
    "funnel": ("FunnelForPreTraining", {}),
    "funnel_masked": ("FunnelForMaskedLM", {}),
    "funnel_base": ("FunnelBaseModel", {}),
    "funnel_classifier": ("FunnelForSequenceClassification", {}),
    "switch": ("SwitchTransformersForConditionalGeneration", {}),
}


def make(name: str, folder: Path, sizes: dict[str, dict[str, Any]], **save: Any) -> Path:
    """Writes the folder of a case; `save` goes to `save_pretrained`."""
    torch.manual_seed(SEEDS)
    cls, settings = CASES[name]
    found = getattr(transformers, cls)
    model_type = found.config_class.model_type
    tokenizer = KINDS[model_type]([TEXT] * 8, 300)
    values = {**sizes[model_type], **settings}
    if sizes is TINY:
        values["vocab_size"] = len(tokenizer) + 7  # a padded vocabulary
    model = found(found.config_class(**values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Biases and scales too, which start as zeros and ones.
            parameter += 0.05 * torch.randn_like(parameter)
        if name == "t5_1_1":
            model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
            model.config.tie_word_embeddings = False
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    dtype = save.pop("dtype", torch.float32)
    model.to(dtype).save_pretrained(folder, **save)
    np.savez(folder / "probe.npz", **probe(model.float(), model_type, len(tokenizer)))
    return folder


def probe(model: Any, model_type: str, size: int) -> dict[str, np.ndarray]:
    """Returns the features of a row, and the outputs of transformers."""
    noise = np.random.default_rng(0)
    tokens, targets = noise.integers(7, size, (2, 1, LENGTH)).astype("int32")
    ids, decoder_ids = torch.tensor(tokens).long(), torch.tensor(targets).long()
    with torch.no_grad():
        if model_type == "gpt2":
            return {"decoder_input_tokens": tokens, "outputs": model(input_ids=ids).logits.numpy()}
        if model.config.is_encoder_decoder:
            found = model(input_ids=ids, decoder_input_ids=decoder_ids).logits
            names = {"encoder_input_tokens": tokens, "decoder_input_tokens": targets}
            return {**names, "outputs": found.numpy()}
        types = torch.zeros_like(ids)
        if model_type == "funnel":
            types[0, 0] = 2
        found = model(input_ids=ids, token_type_ids=types)
        first = ("prediction_logits", "logits", "pooler_output", "last_hidden_state")
        outputs = next(found[key] for key in first if found.get(key) is not None)
    names = {"encoder_input_tokens": tokens, "encoder_token_types": types.numpy().astype("int32")}
    return {**names, "outputs": outputs.numpy()}
