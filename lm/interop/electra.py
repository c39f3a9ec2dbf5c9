"""Hugging Face's names for ELECTRA: the discriminator, and the generator as a separate model."""

from lm.config.syntax import Reference
from lm.interop.bert import FIXED, SETTINGS, TOKEN_HEAD, body
from lm.interop.config_json import FUNCTION, SIZE, Format, Setting, Variant
from lm.interop.purposes import LABELS, MASKED
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

CLASSES = (
    *dense("classifier.dense", "encoder/head/layer_hidden/dense"),
    *dense("classifier.out_proj", "encoder/head/scores"),
)
ELECTRA_CLASSIFIER = electra(CLASSES)
FILES = ("models/electra/architecture.gin",)
MASKED_HEAD = {"DISCRIMINATOR_HEAD": Reference("", "lm.nn.heads.MaskedLanguageHead", is_call=False)}
HIDDEN = Setting("hidden_act", "gelu", FUNCTION, ("lm.nn.label_head.Hidden.activation",))
FORMAT = Format(
    settings=(*SETTINGS, Setting("embedding_size", 128, SIZE, ("EMBEDDING_DIM",))),
    fixed=FIXED,
    variants=(
        Variant("ElectraForPreTraining", ELECTRA, FILES, settings=(HIDDEN,)),
        Variant(
            "ElectraForMaskedLM",
            ELECTRA_GENERATOR,
            FILES,
            MASKED,
            settings=TOKEN_HEAD[1:],
            bindings=MASKED_HEAD,
        ),
        Variant(
            "ElectraForSequenceClassification",
            ELECTRA_CLASSIFIER,
            (*FILES, "models/electra/classifier.gin"),
            LABELS,
        ),
    ),
    length="max_position_embeddings",
)
