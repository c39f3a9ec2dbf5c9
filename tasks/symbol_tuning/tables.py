"""The data sets for tuning and for evaluation, the settings, and the names of their tasks."""

import itertools
from collections.abc import Iterator, Mapping

PREFIX = "symbol_tuning_"
RANK = "_rank"

# The paper's 22 sets, all of `tasks.flan`'s data sets.
TRAIN = tuple(
    "sst2 rotten_tomatoes tweeteval_sentiment rte wnli qnli mnli_matched snli cb ag_news_subset "
    "trec tweeteval_offensive tweeteval_irony cola glue_qqp glue_mrpc paws_wiki copa piqa wsc "
    "winogrande wic".split()
)
# The paper's 11 sets.
EVALUATION = tuple(
    "subj tweeteval_hate tweeteval_stance_abortion tweeteval_stance_atheism "
    "tweeteval_stance_feminist tweeteval_stance_hillary raft_ade_corpus_v2 "
    "raft_overruling raft_semiconductor_org_types raft_terms_of_service "
    "raft_twitter_complaints".split()
)
# Local files: those of the 22 with training examples, and unseen data sets.
LOCAL = tuple(
    "sst2 rotten_tomatoes rte wnli mnli_matched snli cb ag_news_subset trec tweeteval_offensive "
    "tweeteval_irony cola glue_mrpc wic".split()
)
TWO_CLASSES = frozenset(
    "subj tweeteval_hate raft_ade_corpus_v2 raft_overruling raft_terms_of_service "
    "raft_twitter_complaints customer_reviews".split()
)
LOCAL_EVALUATION = tuple("customer_reviews dbpedia sick tweeteval_emotion".split())

INSTRUCTIONS: Mapping[str, str] = {
    "subj": "Is the sentence subjective or objective?",
    "tweeteval_hate": "Is the tweet hateful?",
    "tweeteval_stance_abortion": "What is the stance of the tweet on legal abortion?",
    "tweeteval_stance_atheism": "What is the stance of the tweet on atheism?",
    "tweeteval_stance_feminist": "What is the stance of the tweet on feminism?",
    "tweeteval_stance_hillary": "What is the stance of the tweet on Hillary Clinton?",
    "raft_ade_corpus_v2": "Does the sentence report a side effect of a drug?",
    "raft_overruling": "Does the sentence overrule an earlier decision of a court?",
    "raft_semiconductor_org_types": "What kind of organization is this?",
    "raft_terms_of_service": "May this clause of a contract be unfair to the customer?",
    "raft_twitter_complaints": "Does the tweet complain?",
    "customer_reviews": "Is the remark on a product positive or negative?",
    "dbpedia": "What is the subject of the entry?",
    "sick": "Does the hypothesis follow from the premise?",
    "tweeteval_emotion": "Which emotion does the tweet show?",
}

# Setting -> whether there is an instruction, and the labels of the classes.
SETTINGS: Mapping[str, tuple[bool, str]] = {
    "both": (True, "names"),
    "labels": (False, "names"),
    "instructions": (True, "symbols"),
    "neither": (False, "symbols"),
    "flipped": (False, "flipped"),
}
ALGORITHMS = ("list_functions", "turing_concepts")


def mixtures() -> dict[str, tuple[str, ...]]:
    """Returns the member names of every mixture by its name, without the prefix."""
    found: dict[str, tuple[str, ...]] = {"train": TRAIN, "local": LOCAL}
    for setting, rank in itertools.product(SETTINGS, ("", RANK)):
        for start, names in (("", EVALUATION), ("local_", LOCAL_EVALUATION)):
            fitting = [name for name in names if setting != "flipped" or name in TWO_CLASSES]
            members = tuple(f"{name}_{setting}{rank}" for name in fitting)
            found[f"{start}evaluation_{setting}{rank}"] = members
    return found


def all_names() -> Iterator[str]:
    """Yields the names of tasks and mixtures."""
    members = (name for names in mixtures().values() for name in names)
    yield from (PREFIX + name for name in dict.fromkeys(members))
    for name, made in itertools.product(ALGORITHMS, ("", "made_")):
        yield f"{PREFIX}{made}{name}"
    yield from (PREFIX + name for name in mixtures())
