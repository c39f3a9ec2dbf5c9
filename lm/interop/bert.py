"""Hugging Face's names for BERT, with its pooler, its masked-token head or a classifier."""

from lm.interop.config_json import FUNCTION, LAYERS, NUMBER, RATE, SIZE, Format, Setting, Variant
from lm.interop.purposes import LABELS, MASKED
from lm.interop.renaming import Family, Rule, dense, norm, same

BUFFER, WORDS = "bert.embeddings.position_ids", "bert.embeddings.word_embeddings.weight"
EMBEDDER, LAYER = "encoder/embedder", "encoder/stack/layer_{i}"
ATTENTION = f"{LAYER}_0/self_attention/heads"

NEXT_SENTENCE = ("cls.seq_relationship.weight", "cls.seq_relationship.bias")
POOLER = (*dense("bert.pooler.dense", "encoder/head/dense"),)
TOKENS = (
    *dense("cls.predictions.transform.dense", "encoder/head/dense"),
    *norm("cls.predictions.transform.LayerNorm", "encoder/head/norm"),
    same("cls.predictions.bias", "encoder/head/bias"),
)
CLASSES = (
    *dense("bert.pooler.dense", "encoder/head/layer_hidden/dense"),
    *dense("classifier", "encoder/head/scores"),
)
TOKEN_CLASSES = (*dense("classifier", "encoder/head/scores"),)
SPAN_ENDS = (*dense("qa_outputs", "encoder/head/scores"),)


def body(name: str) -> tuple[Rule, ...]:
    """Rules of the embeddings and layers, whose names start with that of the model."""
    embeddings, block = f"{name}.embeddings", f"{name}.encoder.layer.{{i}}"
    return (
        same(f"{embeddings}.word_embeddings.weight", f"{EMBEDDER}/embedding/embeddings"),
        same(f"{embeddings}.token_type_embeddings.weight", f"{EMBEDDER}/types/embeddings"),
        same(f"{embeddings}.position_embeddings.weight", f"{EMBEDDER}/learned_position/embeddings"),
        *norm(f"{embeddings}.LayerNorm", f"{EMBEDDER}/after_layer_norm"),
        *dense(f"{block}.attention.self.query", f"{ATTENTION}/query"),
        *dense(f"{block}.attention.self.key", f"{ATTENTION}/key"),
        *dense(f"{block}.attention.self.value", f"{ATTENTION}/value"),
        *dense(f"{block}.attention.output.dense", f"{ATTENTION}/output"),
        *norm(f"{block}.attention.output.LayerNorm", f"{LAYER}_0/close_layer_norm"),
        *dense(f"{block}.intermediate.dense", f"{LAYER}_1/feed_forward/hidden"),
        *dense(f"{block}.output.dense", f"{LAYER}_1/feed_forward/output"),
        *norm(f"{block}.output.LayerNorm", f"{LAYER}_1/close_layer_norm"),
    )


def bert(head: tuple[Rule, ...], other: tuple[Rule, ...] = ()) -> Family:
    """BERT with one head; tensors of the other head are ignored if a release has them."""
    return Family(
        rules=(*body("bert"), *head),
        prefix="bert.",
        copies={
            "cls.predictions.decoder.weight": WORDS,
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        unused=(BUFFER, *NEXT_SENTENCE, *(rule.theirs for rule in other)),
    )


BERT = bert(POOLER, TOKENS)
BERT_MASKED = bert(TOKENS, POOLER)
BERT_CLASSIFIER = bert(CLASSES)
BERT_TOKENS = bert(TOKEN_CLASSES)
BERT_SPANS = bert(SPAN_ENDS)

EPSILON, ACTIVATION = "lm.nn.norm.LayerNorm.epsilon", "lm.nn.feedforward.FeedForward.activation"
ARCHITECTURE, CLASSIFIER = "models/bert/architecture.gin", "models/bert/classifier.gin"
TOKEN_HEAD = (
    Setting("hidden_act", "gelu", FUNCTION, ("lm.nn.heads.MaskedLanguageHead.activation",)),
    Setting("layer_norm_eps", 1e-12, NUMBER, ("lm.nn.heads.MaskedLanguageHead.epsilon",)),
)
SETTINGS = (
    Setting("vocab_size", 30522, SIZE, ("VOCABULARY_SIZE",)),
    Setting("hidden_size", 768, SIZE, ("HIDDEN_DIM",)),
    Setting("num_hidden_layers", 12, LAYERS, ("NUM_LAYERS",)),
    Setting("num_attention_heads", 12, SIZE, ("NUM_HEADS",)),
    Setting("intermediate_size", 3072, SIZE, ("INTERMEDIATE_DIM",)),
    Setting("max_position_embeddings", 512, SIZE, ("MAX_SEQUENCE_LENGTH",)),
    Setting("type_vocab_size", 2, SIZE, ("NUM_TOKEN_TYPES",)),
    Setting("hidden_dropout_prob", 0.1, RATE, ("DROPOUT_RATE",)),
    Setting("attention_probs_dropout_prob", 0.1, RATE, ("lm.nn.attention.SelfAttention.dropout",)),
    Setting("layer_norm_eps", 1e-12, NUMBER, (EPSILON,)),
    Setting("hidden_act", "gelu", FUNCTION, (ACTIVATION,)),
)
FIXED = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
MASKED_FILES = (ARCHITECTURE, "models/bert/masked.gin")
FORMAT = Format(
    settings=SETTINGS,
    fixed=FIXED,
    variants=(
        Variant("BertForMaskedLM", BERT_MASKED, MASKED_FILES, MASKED, settings=TOKEN_HEAD),
        Variant("BertForPreTraining", BERT_MASKED, MASKED_FILES, MASKED, settings=TOKEN_HEAD),
        Variant("BertModel", BERT, (ARCHITECTURE,)),
        Variant(
            "BertForSequenceClassification", BERT_CLASSIFIER, (ARCHITECTURE, CLASSIFIER), LABELS
        ),
    ),
    length="max_position_embeddings",
)
