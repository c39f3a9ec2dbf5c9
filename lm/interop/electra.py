"""Names of Hugging Face's ELECTRA: the discriminator, and the generator as a model of its own."""

from lm.interop.bert import body
from lm.interop.renaming import Family, Rule, dense, norm, same

WORDS = "electra.embeddings.word_embeddings.weight"
DISCRIMINATOR = (
    *dense("discriminator_predictions.dense", "encoder/head/layer_hidden/dense"),
    *dense("discriminator_predictions.dense_prediction", "encoder/head/scores"),
)
GENERATOR = (
    *dense("generator_predictions.dense", "encoder/head/dense"),
    *norm("generator_predictions.LayerNorm", "encoder/head/norm"),
    same("generator_lm_head.bias", "encoder/head/bias"),
)


def electra(head: tuple[Rule, ...]) -> Family:
    """ELECTRA with one head."""
    projection = dense("electra.embeddings_project", "encoder/stack/before_projection/dense")
    return Family(
        rules=(*body("electra"), *projection, *head),
        prefix="electra.",
        copies={"generator_lm_head.weight": WORDS},
        unused=("electra.embeddings.position_ids",),
    )


ELECTRA = electra(DISCRIMINATOR)
ELECTRA_GENERATOR = electra(GENERATOR)
