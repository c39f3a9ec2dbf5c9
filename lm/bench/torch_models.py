"""Models in torch that transformers lacks, or cannot train as a whole."""

from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


class Electra(torch.nn.Module):
    """ELECTRA's generator and discriminator with shared embeddings.

    Args:
        discriminator: `ElectraForPreTraining`.
        generator: `ElectraForMaskedLM`, which uses the embeddings of the discriminator.
        max_predictions: P, the number of predicted tokens, the first of each row.
        discriminator_weight: λ.
    """

    def __init__(
        self,
        discriminator: Any,
        generator: Any,
        *,
        max_predictions: int,
        discriminator_weight: float,
    ) -> None:
        super().__init__()
        self.discriminator, self.generator = discriminator, generator
        self.max_predictions = max_predictions
        self.discriminator_weight = discriminator_weight
        generator.electra.embeddings = discriminator.electra.embeddings
        generator.generator_lm_head.weight = generator.electra.embeddings.word_embeddings.weight

    def loss(self, tensors: Any) -> Any:
        """Returns the loss of both; the generator computes logits only at predicted tokens."""
        original, count = tensors["encoder_target_tokens"], self.max_predictions
        hidden = self.generator.electra(tensors["encoder_input_tokens"])[0][:, :count]
        predicted = self.generator.generator_predictions(hidden)
        logits = self.generator.generator_lm_head(predicted)  # [B, P, V]
        guessing = cross_entropy(logits.flatten(0, 1), original[:, :count].flatten())
        with torch.no_grad():
            gumbel = -torch.log(-torch.log(torch.rand_like(logits)))
            samples = (logits + gumbel).argmax(-1)
        read = torch.cat([samples, original[:, count:]], dim=1)
        found = self.discriminator(read).logits  # [B, T]
        telling = binary_cross_entropy_with_logits(found, (read != original).float())
        return guessing + self.discriminator_weight * telling


class LstmLanguageModel(torch.nn.Module):
    """`logits = LSTM(E[tokens]) Eᵀ`, with the interface of a model of transformers.

    Args:
        vocabulary: number of tokens.
        width: width of the table E and of the states.
        layers: number of LSTM layers.
        dropout: rate before, between and after the layers.
    """

    def __init__(self, vocabulary: int, width: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, width)
        self.lstm = torch.nn.LSTM(width, width, layers, batch_first=True, dropout=dropout)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, input_ids: Any, state: Any = None) -> Any:
        """Returns the logits of all positions, and the state after them."""
        hidden, state = self.lstm(self.dropout(self.embedding(input_ids)), state)
        return SimpleNamespace(logits=self.dropout(hidden) @ self.embedding.weight.T, state=state)

    def generate(self, tokens: Any, *, attention_mask: Any, generation_config: Any) -> Any:
        """Returns the prompt with new tokens, chosen greedily."""
        del attention_mask
        found, written = self(tokens), [tokens]
        for _ in range(generation_config.max_new_tokens):
            written.append(found.logits[:, -1:].argmax(-1))
            found = self(written[-1], found.state)
        return torch.cat(written, dim=1)
