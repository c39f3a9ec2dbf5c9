"""Names of Hugging Face's BERT, with its pooler, its head for masked tokens, or one that labels."""

from lm.interop.renaming import Family, Rule, dense, norm, same

EMBEDDINGS, WORDS = "bert.embeddings", "bert.embeddings.word_embeddings.weight"
BLOCK, LAYER = "bert.encoder.layer.{i}", "encoder/stack/layer_{i}"
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


def bert(head: tuple[Rule, ...], other: tuple[Rule, ...] = ()) -> Family:
    """BERT with one head; a release may hold the other one too."""
    return Family(
        rules=(
            same(WORDS, "encoder/embedder/embedding/embeddings"),
            same(f"{EMBEDDINGS}.token_type_embeddings.weight", "encoder/embedder/types/embeddings"),
            same(
                f"{EMBEDDINGS}.position_embeddings.weight",
                "encoder/embedder/learned_position/embeddings",
            ),
            *norm(f"{EMBEDDINGS}.LayerNorm", "encoder/embedder/after_layer_norm"),
            *dense(f"{BLOCK}.attention.self.query", f"{ATTENTION}/query"),
            *dense(f"{BLOCK}.attention.self.key", f"{ATTENTION}/key"),
            *dense(f"{BLOCK}.attention.self.value", f"{ATTENTION}/value"),
            *dense(f"{BLOCK}.attention.output.dense", f"{ATTENTION}/output"),
            *norm(f"{BLOCK}.attention.output.LayerNorm", f"{LAYER}_0/close_layer_norm"),
            *dense(f"{BLOCK}.intermediate.dense", f"{LAYER}_1/feed_forward/hidden"),
            *dense(f"{BLOCK}.output.dense", f"{LAYER}_1/feed_forward/output"),
            *norm(f"{BLOCK}.output.LayerNorm", f"{LAYER}_1/close_layer_norm"),
            *head,
        ),
        prefix="bert.",
        copies={
            "cls.predictions.decoder.weight": WORDS,
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        unused=(f"{EMBEDDINGS}.position_ids", *NEXT_SENTENCE, *(rule.theirs for rule in other)),
    )


BERT = bert(POOLER, TOKENS)
BERT_MASKED = bert(TOKENS, POOLER)
BERT_CLASSIFIER = bert(CLASSES)
BERT_TOKENS = bert(TOKEN_CLASSES)
BERT_SPANS = bert(SPAN_ENDS)
