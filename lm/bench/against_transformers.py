"""Training, scoring and generation by transformers on torch, with the same model and weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers

from lm.bench.torch_twins import TWINS
from lm.bench.twin_spec import TwinSpec
from lm.types import Batch


def build(spec: TwinSpec) -> Any:
    """Returns the twin of a model, with its weights.

    Raises:
        RuntimeError: a parameter of either side has no counterpart.
    """
    twin = TWINS[spec.model_type]
    model = twin.make(spec)
    # Some are views with a reversed axis, which torch does not accept.
    weights = {name: np.ascontiguousarray(x) for name, x in twin.weights(spec).items()}
    tensors = {name: torch.tensor(array) for name, array in weights.items()}
    _, unknown = model.load_state_dict(tensors, strict=False)
    named = list(model.named_parameters(remove_duplicate=False))  # tied ones under every name
    loaded = {id(parameter) for name, parameter in named if name in tensors}
    absent = [name for name, parameter in named if id(parameter) not in loaded]
    if absent or unknown:
        raise RuntimeError(
            f"the weights have other names in transformers: {[*absent, *unknown][:3]}"
        )
    return model


def training(spec: TwinSpec, batch: Batch) -> dict[str, Callable[[], Any]]:
    """Returns training steps of the twin with AdamW on the batch, eager and compiled by torch.

    Args:
        spec: description of the model.
        batch: our features.
    """
    loss = TWINS[spec.model_type].loss
    return {
        "eager": _training_step(build(spec), loss, batch),
        "compiled": _training_step(build(spec), torch.compile(loss), batch),
    }


def _training_step(model: Any, loss: Callable[..., Any], batch: Batch) -> Callable[[], Any]:
    """Returns a step that returns the loss."""
    tensors = _tensors(batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

    def step() -> Any:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        found = loss(model, tensors)
        found.backward()
        optimizer.step()
        return found.detach()

    return step


def scoring(spec: TwinSpec, batch: Batch) -> dict[str, Callable[[], Any]]:
    """Returns a call that computes the loss of the batch without gradients, eagerly."""
    model, loss, tensors = build(spec).eval(), TWINS[spec.model_type].loss, _tensors(batch)

    def score() -> Any:
        with torch.inference_mode():
            return loss(model, tensors)

    return {"eager": score}


def _tensors(batch: Batch) -> dict[str, Any]:
    """Returns the integer features."""
    return {name: torch.tensor(x).long() for name, x in batch.items() if x.dtype.kind == "i"}


def generation(
    spec: TwinSpec, prompts: Batch, *, new_tokens: int, beams: int
) -> dict[str, Callable[[], np.ndarray]]:
    """Returns a call that generates a fixed number of tokens per prompt; none ends a sequence."""
    model = build(spec).eval()
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
        with torch.inference_mode():
            found = model.generate(
                tokens, attention_mask=torch.ones_like(tokens), generation_config=settings
            )
        return found[:, -new_tokens:].numpy()

    return {"float32": search}
