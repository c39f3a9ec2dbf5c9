"""Names of Hugging Face's BERT, with its pooler, its head for masked tokens, or one that labels."""

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
    """Embeddings and layers, whose names begin with that of the model."""
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
    """BERT with one head; a release may hold the other one too."""
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
