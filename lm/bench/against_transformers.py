"""The same model in transformers, with the same weights: training and generation by torch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import transformers

from lm.bench.sizes import Sizes

Batch = Mapping[str, np.ndarray]


def build(sizes: Sizes) -> Any:
    """Returns the twin of a model, its weights loaded strictly."""
    config = _gpt2(sizes) if sizes.model_type == "gpt2" else _t5(sizes)
    kinds = {"gpt2": transformers.GPT2LMHeadModel}
    model = kinds.get(sizes.model_type, transformers.T5ForConditionalGeneration)(config)
    if "lm_head.weight" in sizes.weights:
        # A new model is tied whatever its configuration says.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    tensors = {name: torch.tensor(array) for name, array in sizes.weights.items()}
    missing, unknown = model.load_state_dict(tensors, strict=False)
    absent = [name for name in missing if name not in _TIED]
    if absent or unknown:
        raise RuntimeError(f"transformers names weights otherwise: {[*absent, *unknown][:3]}")
    return model


def training(model: Any, batch: Batch, *, compiled: bool) -> Callable[[], Any]:
    """Returns a step of AdamW on the batch.

    Args:
        model: of `build`.
        batch: our features.
        compiled: whether `torch.compile` makes one graph of forward and loss.
    """
    tensors = {name: torch.tensor(x).long() for name, x in batch.items() if x.dtype.kind == "i"}
    inputs = {"input_ids": tensors["decoder_input_tokens"]}
    if "encoder_input_tokens" in tensors:
        inputs = {
            "input_ids": tensors["encoder_input_tokens"],
            "decoder_input_ids": tensors["decoder_input_tokens"],
        }
    targets = tensors["decoder_target_tokens"].flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

    def loss() -> Any:
        logits = model(**inputs, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)

    forward = torch.compile(loss) if compiled else loss

    def step() -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

    return step


def generation(
    model: Any, prompts: Batch, *, new_tokens: int, beams: int
) -> Callable[[], np.ndarray]:
    """Returns a call that searches as many new tokens for each prompt; no token ends a text."""
    name = "encoder_input_tokens" if "encoder_input_tokens" in prompts else "decoder_input_tokens"
    tokens = torch.tensor(prompts[name]).long()
    settings = transformers.GenerationConfig(
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        num_beams=beams,
        do_sample=False,
        **({"length_penalty": 0.0} if beams > 1 else {}),
        eos_token_id=None,
        pad_token_id=0,
        decoder_start_token_id=0,
    )

    def search() -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            found = model.generate(
                tokens, attention_mask=torch.ones_like(tokens), generation_config=settings
            )
        return found[:, -new_tokens:].numpy()

    return search


def _gpt2(sizes: Sizes) -> Any:
    vocabulary, width = sizes.weights["transformer.wte.weight"].shape
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), sizes.dropout)
    return transformers.GPT2Config(
        **rates,
        vocab_size=vocabulary,
        n_positions=len(sizes.weights["transformer.wpe.weight"]),
        n_embd=width,
        n_layer=sizes.num_layers,
        n_head=sizes.num_heads,
        n_inner=sizes.weights["transformer.h.0.mlp.c_fc.weight"].shape[1],
        bos_token_id=0,
        eos_token_id=1,
    )


def _t5(sizes: Sizes) -> Any:
    vocabulary, width = sizes.weights["shared.weight"].shape
    tied = sizes.model_type == "t5"
    hidden = sizes.weights["encoder.block.0.layer.1.DenseReluDense.wo.weight"].shape[1]
    return transformers.T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=sizes.head_dim,
        d_ff=hidden,
        num_layers=sizes.num_layers,
        num_heads=sizes.num_heads,
        dropout_rate=sizes.dropout,
        feed_forward_proj="relu" if tied else "gated-gelu",
        tie_word_embeddings=tied,
        pad_token_id=0,
        decoder_start_token_id=0,
    )


_TIED = ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
