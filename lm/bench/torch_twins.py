"""The models of the speed tables in torch and transformers, and the loss of each on our batches."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy, one_hot
from transformers.models.bert.modeling_bert import BertLMPredictionHead

from lm.bench.torch_models import Electra, LstmLanguageModel
from lm.bench.twin_spec import TwinSpec

Tensors = Mapping[str, Any]


def own_weights(spec: TwinSpec) -> Mapping[str, np.ndarray]:
    """Returns the weights unchanged."""
    return spec.weights


class Twin(NamedTuple):
    """How to build and train a type of model in torch.

    Attributes:
        make: description of a model -> the model, its weights not yet loaded.
        loss: model and integer features of one of our batches -> the loss to minimise.
        weights: description of a model -> its weights in the twin's layout.
    """

    make: Callable[[TwinSpec], Any]
    loss: Callable[[Any, Tensors], Any]
    weights: Callable[[TwinSpec], Mapping[str, np.ndarray]] = own_weights


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
        # A new model is tied regardless of its configuration.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    return model


def _switch(spec: TwinSpec) -> Any:
    """Switch, with our expert capacity for rows of this length."""
    hyperparameters = spec.hyperparameters
    config = transformers.SwitchTransformersConfig(
        **_encoder_decoder(spec),
        d_ff=spec.weights["encoder.block.0.layer.1.mlp.wo.weight"].shape[1],
        num_decoder_layers=hyperparameters["num_layers"],
        num_sparse_encoder_layers=hyperparameters["num_sparse_layers"],
        num_sparse_decoder_layers=hyperparameters["num_sparse_layers"],
        num_experts=hyperparameters["num_experts"],
        router_jitter_noise=hyperparameters["jitter"],
        # There the router losses are over all sparse layers of a stack together, here per layer.
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
    """Funnel with BERT's head, since its own head lacks the layer before the output table."""
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


def _bert(spec: TwinSpec) -> Any:
    return transformers.BertForMaskedLM(transformers.BertConfig(**_encoder(spec, "bert")))


def _electra(spec: TwinSpec) -> Any:
    heads = {"num_attention_heads": spec.hyperparameters["generator_heads"]}
    discriminator = _encoder(spec, "discriminator.electra")
    generator = discriminator | _encoder(spec, "generator.electra") | heads
    return Electra(
        transformers.ElectraForPreTraining(transformers.ElectraConfig(**discriminator)),
        transformers.ElectraForMaskedLM(transformers.ElectraConfig(**generator)),
        max_predictions=spec.hyperparameters["max_predictions"],
        discriminator_weight=spec.hyperparameters["discriminator_weight"],
    )


def _encoder(spec: TwinSpec, body: str) -> dict[str, Any]:
    """Returns the settings that BERT and ELECTRA share; table sizes only if the body has tables."""
    rates = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    inner = spec.weights[f"{body}.encoder.layer.0.intermediate.dense.weight"]
    settings = {
        **dict.fromkeys(rates, spec.hyperparameters["dropout"]),
        "num_hidden_layers": spec.hyperparameters["num_layers"],
        "num_attention_heads": spec.hyperparameters["num_heads"],
        "hidden_size": inner.shape[1],
        "intermediate_size": inner.shape[0],
    }
    table = spec.weights.get(f"{body}.embeddings.word_embeddings.weight")
    if table is None:
        return settings
    positions = spec.weights[f"{body}.embeddings.position_embeddings.weight"]
    settings |= {"vocab_size": len(table), "embedding_size": table.shape[1]}
    return {**settings, "max_position_embeddings": len(positions)}


def _xlnet(spec: TwinSpec) -> Any:
    vocabulary, width = spec.weights["transformer.word_embedding.weight"].shape
    config = transformers.XLNetConfig(
        vocab_size=vocabulary,
        d_model=width,
        n_layer=spec.hyperparameters["num_layers"],
        n_head=spec.hyperparameters["num_heads"],
        d_inner=len(spec.weights["transformer.layer.0.ff.layer_1.weight"]),
        ff_activation="gelu_new",
        dropout=spec.hyperparameters["dropout"],
        mem_len=None,
    )
    return transformers.XLNetLMHeadModel(config)


def _lstm(spec: TwinSpec) -> Any:
    return LstmLanguageModel(
        *spec.weights["embedding.weight"].shape,
        layers=spec.hyperparameters["num_layers"],
        dropout=spec.hyperparameters["dropout"],
    )


def lstm_weights(spec: TwinSpec) -> dict[str, np.ndarray]:
    """Returns the weights with the gates in torch's order [i, f, g, o]; ours is [i, f, o, g].

    Torch's second bias holds our forget bias.
    """
    found = dict(spec.weights)
    for name, tensor in spec.weights.items():
        if name.startswith("lstm."):
            i, f, o, g = np.split(tensor, 4)
            found[name] = np.concatenate([i, f, g, o])
        if ".bias_ih" in name:
            zero = np.zeros_like(i)
            second = [zero, zero + spec.hyperparameters["forget_bias"], zero, zero]
            found[name.replace("_ih", "_hh")] = np.concatenate(second)
    return found


def token_loss(model: Any, tensors: Tensors, **settings: Any) -> Any:
    """Returns the cross entropy over all targets."""
    return _of_tokens(_called(model, tensors, **settings), tensors)


def routed_loss(model: Any, tensors: Tensors) -> Any:
    """Returns the same plus the weighted router losses of both stacks."""
    found = _called(model, tensors, output_router_logits=True, use_cache=False)
    z_loss = found.encoder_z_loss + found.decoder_z_loss
    aux_loss = found.encoder_aux_loss + found.decoder_aux_loss
    routers = model.router_z_loss_coef * z_loss + model.router_aux_loss_coef * aux_loss
    return _of_tokens(found, tensors) + routers


def permuted_loss(model: Any, tensors: Tensors) -> Any:
    """Returns the cross entropy of the predicted tokens, each given those of lower rank."""
    ranks, tokens = tensors["encoder_ranks"], tensors["encoder_input_tokens"]
    query, key = ranks[:, :, None], ranks[:, None]
    # The token itself is left out: the content stream of transformers adds it.
    is_seen = (key < query) | ((key < 0) & (query < 0))  # [B, T, T]
    positions = one_hot(tensors["encoder_predicted_positions"], tokens.shape[1])  # [B, P, T]
    found = model(
        input_ids=tokens,
        token_type_ids=tensors["encoder_token_types"],
        perm_mask=(~is_seen).float(),
        target_mapping=positions.float(),
    )
    return _of_tokens(found, tensors)


def _called(model: Any, tensors: Tensors, **settings: Any) -> Any:
    """Returns the outputs of a model; the first inputs are the encoder's, if it has one."""
    sides = [side for side in ("encoder", "decoder") if f"{side}_input_tokens" in tensors]
    names = ("input_ids", "decoder_input_ids")
    inputs = {n: tensors[f"{side}_input_tokens"] for n, side in zip(names, sides, strict=False)}
    return model(**inputs, **settings)


def _of_tokens(found: Any, tensors: Tensors) -> Any:
    """Returns the cross entropy of logits [B, N, V] against the targets [B, N]."""
    targets = next(x for name, x in tensors.items() if name.endswith("target_tokens"))
    return cross_entropy(found.logits.flatten(0, 1), targets.flatten())


_decoder_loss = partial(token_loss, use_cache=False)
TWINS = {
    "gpt2": Twin(_gpt2, _decoder_loss),
    "t5": Twin(_t5, _decoder_loss),
    "t5_1_1": Twin(_t5, _decoder_loss),
    "switch": Twin(_switch, routed_loss),
    "funnel_masked": Twin(_funnel, token_loss),
    "bert_masked": Twin(_bert, token_loss),
    "xlnet_permutation": Twin(_xlnet, permuted_loss),
    "electra": Twin(_electra, Electra.loss),
    "lstm": Twin(_lstm, token_loss, lstm_weights),
}
