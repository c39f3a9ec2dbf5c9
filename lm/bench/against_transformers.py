"""The same model in transformers, with the same weights: training and generation by torch."""

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
        RuntimeError: a parameter of either has no counterpart.
    """
    twin = TWINS[spec.model_type]
    model = twin.make(spec)
    # Some are views with the order of an axis turned round, which torch does not take.
    weights = {name: np.ascontiguousarray(x) for name, x in twin.weights(spec).items()}
    tensors = {name: torch.tensor(array) for name, array in weights.items()}
    _, unknown = model.load_state_dict(tensors, strict=False)
    named = list(model.named_parameters(remove_duplicate=False))  # tied ones by all their names
    loaded = {id(parameter) for name, parameter in named if name in tensors}
    absent = [name for name, parameter in named if id(parameter) not in loaded]
    if absent or unknown:
        raise RuntimeError(
            f"the weights have other names in transformers: {[*absent, *unknown][:3]}"
        )
    return model


def training(spec: TwinSpec, batch: Batch, *, compiled: bool) -> Callable[[], Any]:
    """Returns a step of AdamW of the twin on the batch, which returns its loss.

    Args:
        spec: what describes the model.
        batch: our features.
        compiled: whether `torch.compile` makes one graph of forward and loss.
    """
    model, loss = build(spec), TWINS[spec.model_type].loss
    tensors = {name: torch.tensor(x).long() for name, x in batch.items() if x.dtype.kind == "i"}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    forward = torch.compile(loss) if compiled else loss

    def step() -> Any:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        found = forward(model, tensors)
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
