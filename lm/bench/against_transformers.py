"""The same model in transformers, with the same weights: training and generation by torch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.bert.modeling_bert import BertLMPredictionHead

from lm.bench.twin_spec import TwinSpec
from lm.types import Batch


def build(spec: TwinSpec) -> Any:
    """Returns the twin of a model, its weights loaded strictly."""
    model = BUILDERS[spec.model_type](spec)
    tensors = {name: torch.tensor(array) for name, array in spec.weights.items()}
    missing, unknown = model.load_state_dict(tensors, strict=False)
    absent = [name for name in missing if name not in _TIED]
    if absent or unknown:
        raise RuntimeError(
            f"the weights have other names in transformers: {[*absent, *unknown][:3]}"
        )
    return model


def training(model: Any, batch: Batch, *, compiled: bool) -> Callable[[], Any]:
    """Returns a step of AdamW on the batch, which returns its loss.

    Args:
        model: of `build`.
        batch: our features.
        compiled: whether `torch.compile` makes one graph of forward and loss.
    """
    tensors = {name: torch.tensor(x).long() for name, x in batch.items() if x.dtype.kind == "i"}
    inputs = _inputs(tensors)
    targets = next(x for name, x in tensors.items() if name.endswith("target_tokens")).flatten()
    settings, extra = _ROUTED if hasattr(model, "router_aux_loss_coef") else _PLAIN
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

    def loss() -> Any:
        found = model(**inputs, **settings, use_cache=False)
        return torch.nn.functional.cross_entropy(found.logits.flatten(0, 1), targets) + extra(
            model, found
        )

    forward = torch.compile(loss) if compiled else loss

    def step() -> Any:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        found = forward()
        found.backward()
        optimizer.step()
        return found.detach()

    return step


def generation(
    model: Any, prompts: Batch, *, new_tokens: int, beams: int
) -> Callable[[], np.ndarray]:
    """Returns a call that generates as many tokens for each prompt; no token ends a sequence."""
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


def _gpt2(spec: TwinSpec) -> Any:
    vocabulary, width = spec.weights["transformer.wte.weight"].shape
    hyperparameters = spec.hyperparameters
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), hyperparameters["dropout"])
    config = transformers.GPT2Config(
        **rates,
        vocab_size=vocabulary,
        n_positions=len(spec.weights["transformer.wpe.weight"]),
        n_embd=width,
        n_layer=hyperparameters["num_layers"],
        n_head=hyperparameters["num_heads"],
        n_inner=spec.weights["transformer.h.0.mlp.c_fc.weight"].shape[1],
        bos_token_id=0,
        eos_token_id=1,
    )
    return transformers.GPT2LMHeadModel(config)


def _t5(spec: TwinSpec) -> Any:
    tied = spec.model_type == "t5"
    hidden = spec.weights["encoder.block.0.layer.1.DenseReluDense.wo.weight"].shape[1]
    config = transformers.T5Config(
        **_encoder_decoder(spec),
        d_ff=hidden,
        feed_forward_proj="relu" if tied else "gated-gelu",
        tie_word_embeddings=tied,
    )
    model = transformers.T5ForConditionalGeneration(config)
    if not tied:
        # A new model is tied whatever its configuration says.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    return model


def _switch(spec: TwinSpec) -> Any:
    """Switch, with the expert capacity that ours has for such rows."""
    hyperparameters = spec.hyperparameters
    config = transformers.SwitchTransformersConfig(
        **_encoder_decoder(spec),
        d_ff=spec.weights["encoder.block.0.layer.1.mlp.wo.weight"].shape[1],
        num_decoder_layers=hyperparameters["num_layers"],
        num_sparse_encoder_layers=hyperparameters["num_sparse_layers"],
        num_sparse_decoder_layers=hyperparameters["num_sparse_layers"],
        num_experts=hyperparameters["num_experts"],
        router_jitter_noise=hyperparameters["jitter"],
        # There the losses are over all sparse layers of a stack together, here over each.
        router_aux_loss_coef=hyperparameters["balance_loss"] * hyperparameters["num_sparse_layers"],
        router_z_loss_coef=hyperparameters["z_loss"] * hyperparameters["num_sparse_layers"],
    )
    model = transformers.SwitchTransformersForConditionalGeneration(config)
    for side, capacity in hyperparameters["capacity"].items():
        for layer in getattr(model, side).modules():
            if hasattr(layer, "expert_capacity"):
                layer.expert_capacity = capacity
    return model


def _encoder_decoder(spec: TwinSpec) -> dict[str, Any]:
    """Returns the settings that T5 and Switch share."""
    vocabulary, width = spec.weights["shared.weight"].shape
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": spec.hyperparameters["head_dim"],
        "num_layers": spec.hyperparameters["num_layers"],
        "num_heads": spec.hyperparameters["num_heads"],
        "dropout_rate": spec.hyperparameters["dropout"],
        "pad_token_id": 0,
        "decoder_start_token_id": 0,
    }


def _funnel(spec: TwinSpec) -> Any:
    """Funnel with BERT's head in place of its own, which has no layer before the table."""
    hyperparameters, table = (
        spec.hyperparameters,
        spec.weights["funnel.embeddings.word_embeddings.weight"],
    )
    rates = dict.fromkeys(("hidden_dropout", "attention_dropout"), hyperparameters["dropout"])
    blocks = {name: hyperparameters[name] for name in ("block_sizes", "block_repeats")}
    vocabulary, width = table.shape
    config = transformers.FunnelConfig(
        **rates,
        **blocks,
        num_decoder_layers=hyperparameters["num_decoder_layers"],
        vocab_size=vocabulary,
        d_model=width,
        n_head=hyperparameters["num_heads"],
        d_head=hyperparameters["head_dim"],
        d_inner=spec.weights["funnel.encoder.blocks.0.0.ffn.linear_1.weight"].shape[0],
    )
    model = transformers.FunnelForMaskedLM(config)
    head = transformers.BertConfig(vocab_size=vocabulary, hidden_size=width, hidden_act="gelu_new")
    model.lm_head = BertLMPredictionHead(head)
    model.lm_head.decoder.weight = model.funnel.embeddings.word_embeddings.weight
    model.lm_head.decoder.bias = model.lm_head.bias
    return model


def _inputs(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inputs of a twin: the first are the encoder's, if it has one."""
    sides = [side for side in ("encoder", "decoder") if f"{side}_input_tokens" in tensors]
    names = ("input_ids", "decoder_input_ids")
    return {name: tensors[f"{side}_input_tokens"] for name, side in zip(names, sides, strict=False)}


def _router_losses(model: Any, found: Any) -> Any:
    """Returns the weighted losses of the routers of both stacks."""
    z_loss = found.encoder_z_loss + found.decoder_z_loss
    aux_loss = found.encoder_aux_loss + found.decoder_aux_loss
    return model.router_z_loss_coef * z_loss + model.router_aux_loss_coef * aux_loss


# What a twin is called with besides its inputs, and what its outputs add to the loss.
_PLAIN: tuple[dict[str, Any], Callable[[Any, Any], Any]] = ({}, lambda model, found: 0.0)
_ROUTED = ({"output_router_logits": True}, _router_losses)
_TIED = (
    "lm_head.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
)
BUILDERS = {
    "gpt2": _gpt2,
    "t5": _t5,
    "t5_1_1": _t5,
    "switch": _switch,
    "funnel_masked": _funnel,
}
