"""The clusters of data sets: the paper's, the release's, and those of local files.

Each table is cluster -> data sets. The paper counts the two parts of `a+b` as one data set.
"""

from collections.abc import Collection, Mapping

Table = Mapping[str, tuple[str, ...]]


def _table(**clusters: str) -> Table:
    return {cluster: tuple(names.split()) for cluster, names in clusters.items()}


# Figure 3 of the paper: 62 data sets. Translation counts eight; they are taken from the release.
PAPER = _table(
    natural_language_inference="""anli_r1+anli_r2+anli_r3 cb mnli_matched+mnli_mismatched qnli rte
        snli wnli""",
    commonsense="copa hellaswag piqa story_cloze",
    sentiment="imdb_reviews sentiment140 sst2 yelp_polarity_reviews",
    paraphrase="glue_mrpc glue_qqp paws_wiki stsb",
    closed_book_qa="arc_easy+arc_challenge natural_questions trivia_qa",
    struct_to_text="common_gen dart e2e_nlg web_nlg_en",
    reading_comprehension="bool_q drop multirc openbookqa squad_v1+squad_v2",
    reading_comprehension_with_commonsense="cosmos_qa record",
    coreference="definite_pronoun_resolution winogrande wsc273",
    miscellaneous="coqa quac wic math_dataset fix_punct trec cola",
    summarization="""aeslc ag_news_subset cnn_dailymail gigaword multi_news newsroom samsum
        wiki_lingua_english_en xsum opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes""",
    translation="""para_crawl_enes wmt14_enfr wmt16_deen wmt16_tren wmt16_csen wmt16_fien wmt16_roen
        wmt16_ruen""",
)

# The release: 17 clusters of 69 tasks, in its order.
RELEASE = _table(
    summarization="""aeslc ag_news_subset cnn_dailymail gigaword multi_news newsroom samsum
        wiki_lingua_english_en xsum opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes""",
    struct_to_text="common_gen dart e2e_nlg web_nlg_en",
    reading_comprehension="squad_v1 squad_v2 drop multirc openbookqa bool_q",
    closed_book_qa="trivia_qa natural_questions arc_challenge arc_easy",
    paraphrase="glue_mrpc glue_qqp paws_wiki stsb",
    sentiment="imdb_reviews sentiment140 sst2 yelp_polarity_reviews",
    text_formatting="true_case fix_punct word_segment",
    commonsense="copa hellaswag piqa story_cloze",
    translation="""para_crawl_enes wmt14_enfr wmt16_deen wmt16_tren wmt16_csen wmt16_fien wmt16_roen
        wmt16_ruen""",
    coreference="definite_pronoun_resolution winogrande wsc",
    natural_language_inference="""anli_r1 anli_r2 anli_r3 cb rte mnli_matched mnli_mismatched qnli
        wnli snli""",
    math="math_dataset",
    conversational_qa="coqa quac",
    word_disambiguation="wic",
    linguistic_acceptability="cola",
    question_classification="trec",
    reading_comprehension_with_commonsense="record cosmos_qa",
)

# Local files. Without WNLI, which is made of Winograd schemas like the tests of the coreference
# cluster, and without Rotten Tomatoes, whose snippets are the sentences of SST-2.
LOCAL = _table(
    natural_language_inference="cb mnli_matched rte snli sick",
    commonsense="copa piqa commonsense_qa",
    sentiment="imdb_reviews sst2 customer_reviews tweeteval_emotion tweeteval_irony",
    paraphrase="glue_mrpc stsb",
    closed_book_qa="arc_easy",
    struct_to_text="web_nlg_en",
    reading_comprehension="bool_q multirc openbookqa",
    reading_comprehension_with_commonsense="record lambada",
    coreference="definite_pronoun_resolution winogrande wsc273",
    miscellaneous="wic trec cola gsm8k dbpedia tweeteval_offensive",
    summarization="aeslc ag_news_subset",
    translation="multi30k_ende multi30k_enfr eutrans_enes",
)

TABLES: Mapping[str, Table] = {"": PAPER, "release_": RELEASE, "local_": LOCAL}

# A held-out cluster -> other clusters that are not trained on either.
NEAR = {
    "reading_comprehension": ("reading_comprehension_with_commonsense",),
    "commonsense": ("reading_comprehension_with_commonsense",),
    "reading_comprehension_with_commonsense": ("reading_comprehension", "commonsense"),
    "paraphrase": ("natural_language_inference",),
    "natural_language_inference": ("paraphrase",),
}

# The order of clusters in the ablation of their number.
GROWING = (
    "summarization",
    "translation",
    "reading_comprehension",
    "sentiment",
    "struct_to_text",
    "coreference",
    "conversational_qa",
)


def groups() -> dict[str, tuple[str, ...]]:
    """Returns the data sets of every mixture by its group's name.

    Example:
        >>> groups()["cluster_coreference"]
        ('definite_pronoun_resolution', 'winogrande', 'wsc273')
        >>> "cb" in groups()["without_paraphrase"]
        False
    """
    found: dict[str, tuple[str, ...]] = {}
    for start, table in TABLES.items():
        found[f"{start}all"] = _members(table, table)
        for cluster in table:
            others = set(table) - {cluster, *NEAR.get(cluster, ())}
            found[f"{start}cluster_{cluster}"] = _members(table, [cluster])
            found[f"{start}without_{cluster}"] = _members(table, others)
    for number in range(1, len(GROWING) + 1):
        found[f"{number}clusters"] = _members(RELEASE, GROWING[:number])
    return found


def _members(table: Table, clusters: Collection[str]) -> tuple[str, ...]:
    """Returns the data sets of some clusters, in the table's order, with `a+b` separated."""
    return tuple(
        part
        for cluster, names in table.items()
        if cluster in clusters
        for name in names
        for part in name.split("+")
    )
