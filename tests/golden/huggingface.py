"""Tiny random Hugging Face models with their outputs and gradients: the references of parity.

Needs torch and transformers. `make golden` writes what `FAMILIES` compute to `<family>.npz`;
the test marked `parity` computes it anew and compares with our models directly.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

FOLDER = Path(__file__).parent
SIZES = {"vocab_size": 48}
BERT_SIZES = {
    **SIZES,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SEGMENTS = np.array([[1] * 10, [1] * 7 + [0] * 3], "int32")
XLNET_TYPES = np.array([[0] * 5 + [1] * 4 + [2], [0] * 2 + [1] * 4 + [2] + [0] * 3], "int32")


def gpt2() -> dict[str, np.ndarray]:
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = transformers.GPT2Config(
        **SIZES, **rates, n_positions=16, n_embd=16, n_layer=2, n_head=2, n_inner=24
    )
    tokens = draw_tokens()
    features = {"decoder_input_tokens": tokens}
    model = transformers.GPT2LMHeadModel(config)
    return record(model, features, lambda: model(input_ids=torch.tensor(tokens).long()).logits)


def bert() -> dict[str, np.ndarray]:
    return from_bert(transformers.BertModel, lambda output: output.pooler_output)


def bert_masked() -> dict[str, np.ndarray]:
    return from_bert(transformers.BertForMaskedLM, lambda output: output.logits)


def bert_classifier() -> dict[str, np.ndarray]:
    return from_bert(transformers.BertForSequenceClassification, lambda output: output.logits)


def bert_tokens() -> dict[str, np.ndarray]:
    return from_bert(transformers.BertForTokenClassification, lambda output: output.logits)


def bert_spans() -> dict[str, np.ndarray]:
    """Start and end of every position, as our head has them: [B, T, 2]."""
    return from_bert(
        transformers.BertForQuestionAnswering,
        lambda output: torch.stack([output.start_logits, output.end_logits], -1),
    )


def from_bert(make: Any, pick: Callable[[Any], Any]) -> dict[str, np.ndarray]:
    num_labels = 2 if make is transformers.BertForQuestionAnswering else 3
    return read_by(make(transformers.BertConfig(**BERT_SIZES, num_labels=num_labels)), pick)


def read_by(model: Any, pick: Callable[[Any], Any]) -> dict[str, np.ndarray]:
    """Returns what a model makes of two rows of two token types, one of them padded."""
    types = (np.arange(10)[None] >= np.array([[4], [5]])).astype("int32")
    features = {
        "encoder_input_tokens": draw_tokens(),
        "encoder_segment_ids": SEGMENTS,
        "encoder_token_types": types,
    }
    tensors = {name: torch.tensor(array).long() for name, array in features.items()}
    return record(
        model,
        features,
        lambda: pick(
            model(
                input_ids=tensors["encoder_input_tokens"],
                attention_mask=tensors["encoder_segment_ids"],
                token_type_ids=tensors["encoder_token_types"],
            )
        ),
    )


def electra() -> dict[str, np.ndarray]:
    """One logit of every position, as our head has it: [B, T, 1]."""
    return from_electra(transformers.ElectraForPreTraining, lambda output: output.logits[..., None])


def electra_generator() -> dict[str, np.ndarray]:
    return from_electra(transformers.ElectraForMaskedLM, lambda output: output.logits)


def from_electra(make: Any, pick: Callable[[Any], Any]) -> dict[str, np.ndarray]:
    """Embeddings of width 12 are projected to the stack's 16."""
    return read_by(make(transformers.ElectraConfig(**BERT_SIZES, embedding_size=12)), pick)


def t5() -> dict[str, np.ndarray]:
    return from_t5("relu", tied=True)


def t5_1_1() -> dict[str, np.ndarray]:
    return from_t5("gated-gelu", tied=False)


def from_t5(activation: str, *, tied: bool) -> dict[str, np.ndarray]:
    config = transformers.T5Config(
        **SIZES,
        d_model=16,
        d_kv=6,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        feed_forward_proj=activation,
        tie_word_embeddings=tied,
        decoder_start_token_id=0,
    )
    model = transformers.T5ForConditionalGeneration(config)
    if not tied:
        # transformers 5 ties a new model in any case and unties only what it loads.
        model.lm_head.weight = torch.nn.Parameter(torch.zeros(48, 16))
    return from_encoder_decoder(model)


def switch() -> dict[str, np.ndarray]:
    """Two layers, the second sparse; 3 places an expert, so that tokens are dropped."""
    config = transformers.SwitchTransformersConfig(
        **SIZES,
        d_model=16,
        d_kv=6,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=2,
        num_sparse_encoder_layers=1,
        num_sparse_decoder_layers=1,
        num_heads=2,
        num_experts=4,
        expert_capacity=3,
        router_jitter_noise=0.0,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    model = transformers.SwitchTransformersForConditionalGeneration(config)
    return from_encoder_decoder(model)


def from_encoder_decoder(model: Any) -> dict[str, np.ndarray]:
    inputs, targets = draw_tokens(), draw_tokens(seed=1)
    features = {
        "encoder_input_tokens": inputs,
        "encoder_segment_ids": SEGMENTS,
        "decoder_input_tokens": targets,
        "decoder_segment_ids": np.ones_like(targets),
    }
    return record(
        model,
        features,
        lambda: (
            model(
                input_ids=torch.tensor(inputs).long(),
                attention_mask=torch.tensor(SEGMENTS).long(),
                decoder_input_ids=torch.tensor(targets).long(),
            ).logits
        ),
    )


def funnel() -> dict[str, np.ndarray]:
    return from_funnel(transformers.FunnelModel, "relative_shift")


def funnel_base() -> dict[str, np.ndarray]:
    return from_funnel(transformers.FunnelBaseModel, "factorized")


def from_funnel(make: Any, attention_type: str) -> dict[str, np.ndarray]:
    config = transformers.FunnelConfig(
        **SIZES,
        block_sizes=[2, 1, 1],
        block_repeats=[1, 2, 1],
        num_decoder_layers=1,
        d_model=16,
        n_head=2,
        d_head=8,
        d_inner=24,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        attention_type=attention_type,
    )
    # No padding: there a mask is pooled otherwise than in the first release and here.
    tokens = draw_tokens(length=12)
    types = np.array([[2] + [0] * 4 + [1] * 7, [2] + [0] * 8 + [1] * 3], "int32")
    features = {"encoder_input_tokens": tokens, "encoder_token_types": types}
    model = make(config)
    tensors = [torch.tensor(array).long() for array in (tokens, types)]
    return record(
        model,
        features,
        lambda: model(input_ids=tensors[0], token_type_ids=tensors[1]).last_hidden_state,
    )


def xlnet() -> dict[str, np.ndarray]:
    """Fine-tuning: two types of tokens and padding, every token sees all."""
    features = {
        "encoder_input_tokens": draw_tokens(),
        "encoder_segment_ids": SEGMENTS,
        "encoder_token_types": XLNET_TYPES,
    }
    model = transformers.XLNetModel(xlnet_config())
    tokens, mask, types = (torch.tensor(array).long() for array in features.values())
    return record(
        model,
        features,
        lambda: (
            model(
                input_ids=tokens, attention_mask=mask.float(), token_type_ids=types
            ).last_hidden_state
        ),
    )


def xlnet_classifier() -> dict[str, np.ndarray]:
    """The last token stands for the row; theirs pads on the left, so there is no padding."""
    features = {"encoder_input_tokens": draw_tokens(), "encoder_token_types": XLNET_TYPES}
    config = xlnet_config()
    config.update({"num_labels": 3, "summary_last_dropout": 0.0})
    model = transformers.XLNetForSequenceClassification(config)
    tokens, types = (torch.tensor(array).long() for array in features.values())
    return record(model, features, lambda: model(input_ids=tokens, token_type_ids=types).logits)


def xlnet_permutation() -> dict[str, np.ndarray]:
    """Three predicted positions in a random order, two streams."""
    return from_permuted_xlnet(None)


def xlnet_memory() -> dict[str, np.ndarray]:
    """The same after a memory of five inputs a layer, `memory` [layers, B, M, D]."""
    memory = np.random.default_rng(3).standard_normal((2, 2, 5, 16)).astype("float32")
    return from_permuted_xlnet(memory) | {"memory": memory}


def from_permuted_xlnet(memory: np.ndarray | None) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(1)
    ranks = np.stack([noise.permutation(10) for _ in range(2)])
    # The last of the order, which all see a token: where all logits are masked, theirs, a sum with
    # -1e30, still have a gradient.
    predicted = np.stack([np.flatnonzero(row >= 7) for row in ranks])
    hidden = ranks[:, :, None] <= ranks[:, None]  # [B, T, T], with the token itself
    of_predicted = np.take_along_axis(hidden, predicted[..., None], axis=1)  # [B, P, T]
    features = {
        "encoder_input_tokens": draw_tokens(),
        "encoder_token_types": XLNET_TYPES,
        "encoder_attention_mask": (~hidden | np.eye(10, dtype=bool)).astype("int32"),
        "encoder_predicted_positions": predicted.astype("int32"),
        "encoder_predicted_attention_mask": (~of_predicted).astype("int32"),
    }
    model = transformers.XLNetLMHeadModel(xlnet_config())
    mems = memory if memory is None else [torch.tensor(x).transpose(0, 1) for x in memory]
    return record(
        model,
        features,
        lambda: (
            model(
                input_ids=torch.tensor(features["encoder_input_tokens"]).long(),
                token_type_ids=torch.tensor(XLNET_TYPES).long(),
                perm_mask=torch.tensor(hidden).float(),
                target_mapping=torch.nn.functional.one_hot(torch.tensor(predicted), 10).float(),
                mems=mems,
            ).logits
        ),
    )


def xlnet_config() -> Any:
    return transformers.XLNetConfig(
        **SIZES,
        d_model=16,
        n_layer=2,
        n_head=2,
        d_inner=24,
        ff_activation="gelu_new",
        untie_r=True,
        bi_data=False,
        clamp_len=-1,
        dropout=0.0,
        mem_len=None,
    )


BERTS = (bert, bert_masked, bert_classifier, bert_tokens, bert_spans)
XLNETS = (xlnet, xlnet_classifier, xlnet_permutation, xlnet_memory)
ELECTRAS = electra, electra_generator
FAMILIES = {
    f.__name__: f
    for f in (gpt2, *BERTS, *ELECTRAS, t5, t5_1_1, switch, funnel, funnel_base, *XLNETS)
}


def draw_tokens(seed: int = 0, length: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 48, (2, length)).astype("int32")


def record(
    model: Any, features: dict[str, np.ndarray], run: Callable[[], Any]
) -> dict[str, np.ndarray]:
    """Returns weights, gradients of Σ cotangent · outputs, features and outputs."""
    noise = np.random.default_rng(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
            values = centre + 0.2 * noise.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.tensor(values))
    outputs = run()
    cotangent = 0.2 * noise.standard_normal(tuple(outputs.shape)).astype("float32")
    cotangent *= real_outputs(features, outputs.ndim)
    (outputs * torch.tensor(cotangent)).sum().backward()
    parameters = dict(model.named_parameters())
    return {
        **{f"weights/{name}": p.detach().numpy() for name, p in parameters.items()},
        **{f"gradients/{name}": gradient(p) for name, p in parameters.items()},
        **{f"features/{name}": array for name, array in features.items()},
        "outputs": outputs.detach().numpy(),
        "cotangent": cotangent,
    }


def gradient(parameter: Any) -> np.ndarray:
    """Returns zeros for what the outputs do not depend on, such as an expert without tokens."""
    found = parameter.grad
    return np.zeros(tuple(parameter.shape), "float32") if found is None else found.numpy()


def real_outputs(features: dict[str, np.ndarray], rank: int) -> np.ndarray:
    """Marks the outputs that stand on real tokens; what padding computes is nobody's business."""
    side = "decoder" if "decoder_input_tokens" in features else "encoder"
    segments = features.get(f"{side}_segment_ids")
    if segments is None or rank == 2:
        return np.ones((1,) * rank, "float32")
    return (segments > 0).astype("float32")[..., None]


def write() -> None:
    for name, compute in FAMILIES.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **compute())
