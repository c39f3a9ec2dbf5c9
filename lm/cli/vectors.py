"""`lm vectors`: neighbours, evaluation, classification, translation and conversion of vectors."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm.cli import flags, output
from lm.errors import ConfigError, UserError

if TYPE_CHECKING:
    from lm.inference.keyed_vectors import KeyedVectors

HELP = "find neighbours in word vectors; evaluate, translate, classify or convert them"
EXAMPLE = """examples:
  lm vectors nearest --vectors=runs/skip_gram film
  lm vectors nearest --vectors=runs/skip_gram king woman --without man
  lm vectors evaluate --vectors=runs/skip_gram
  lm vectors translate --vectors=runs/en --to=runs/de --pairs=train.tsv --test=test.tsv
  lm vectors classify --vectors runs/dbow runs/dm --train=train.jsonl --test=test.jsonl
  lm vectors convert --vectors=runs/skip_gram --output=words.bin

VECTORS is a run folder of word or paragraph vectors, or a file: .safetensors, or word2vec's .bin or
.txt. `evaluate` reads word_similarity/*.tsv and analogies/questions-words.txt below LM_DATA_DIR. A
file of pairs has a header line, then lines with a word, a tab and its translation. `classify` takes
vectors of documents, and concatenates those of several runs: the first documents are those of the
file --train, the next those of --test, with labels in a column (.tsv) or field (.jsonl); .gz works
too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands and their flags."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    near = _command(commands, "nearest", nearest, "words with the largest cosine with a sum")
    near.add_argument("words", nargs="+", metavar="WORD", help="words to add")
    near.add_argument("--without", nargs="+", default=(), metavar="WORD", help="and subtracted")
    near.add_argument(
        "--count", type=flags.above_zero(int), default=10, metavar="N", help="how many (10)"
    )
    _command(commands, "evaluate", evaluate, "correlation with human scores, analogy accuracy")
    other = _command(commands, "translate", translate, "precision of a linear map to a language")
    other.add_argument("--to", required=True, metavar="VECTORS", help="of the other language")
    other.add_argument("--pairs", required=True, metavar="FILE", help="pairs for training")
    other.add_argument("--test", required=True, metavar="FILE", help="pairs for testing")
    other.add_argument(
        "--fit", choices=("closed_form", "orthogonal"), default="closed_form", help="which map"
    )
    labelled = _command(commands, "classify", classify, "error of logistic regression", nargs="+")
    labelled.add_argument("--train", required=True, metavar="FILE", help="labels for training")
    labelled.add_argument("--test", required=True, metavar="FILE", help="labels for testing")
    labelled.add_argument("--label", default="label", metavar="NAME", help="column or field")
    convert_parser = _command(commands, "convert", convert, "write the vectors in another format")
    convert_parser.add_argument("--output", required=True, metavar="FILE", help="see below")


def run(args: argparse.Namespace) -> int:
    """Runs the chosen command."""
    return args.command(args)


def nearest(args: argparse.Namespace) -> int:
    """Prints the nearest words with their cosines."""
    found = load(args.vectors).most_similar(args.words, args.without, topn=args.count)
    _print(args, ["word", "cosine"], [[str(word), cosine] for word, cosine in found])
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Prints the scores on every table of pairs, and on the analogies."""
    from lm.data.storage import files

    pairs = files.expand(files.data_dir() / "word_similarity" / "*.tsv")
    (questions,) = files.expand(files.data_dir() / "analogies" / "questions-words.txt")
    vectors = load(args.vectors)
    scores = {path.stem: vectors.evaluate_word_pairs(path) for path in pairs}
    scores["analogies"] = vectors.evaluate_word_analogies(questions)
    cells = [
        [name, metric, value, found["coverage"]]
        for name, found in scores.items()
        for metric, value in found.items()
        if metric != "coverage"
    ]
    _print(args, ["set", "metric", "percent", "coverage"], cells)
    return 0


def translate(args: argparse.Namespace) -> int:
    """Learns a linear map from pairs and prints its precision on others."""
    from lm.inference import translation_matrix, word_tables

    made = translation_matrix.TranslationMatrix(
        load(args.vectors),
        load(args.to),
        list(word_tables.translations(args.pairs)),
        fit=getattr(translation_matrix, args.fit),
    )
    test, rows = list(word_tables.translations(args.test)), []
    for least in (-1.0, 0.5, 0.6, 0.7):
        found = made.precision(test, confidence=least)
        rows.append([least, found.at_1, found.at_5, found.coverage])
    _print(args, ["cosine at least", "P@1", "P@5", "coverage"], rows)
    return 0


def classify(args: argparse.Namespace) -> int:
    """Prints the error of logistic regression on vectors of documents."""
    import numpy as np

    from lm.inference import linear_classifier

    train, test = (_labels(path, args.label) for path in (args.train, args.test))
    labels = np.array([*train, *test])
    found = [load_documents(path) for path in args.vectors]
    for path, vectors in zip(args.vectors, found, strict=True):
        if len(vectors) < len(labels):
            raise UserError(f"{path}: {len(vectors)} documents, but {len(labels)} labels")
    side_by_side = np.concatenate([x.unit[: len(labels)] for x in found], axis=1)
    order = np.arange(len(labels))
    if all(Path(path).is_dir() for path in args.vectors):  # a run reads its documents shuffled
        order = np.random.default_rng(0).permutation(order)
    error = linear_classifier.linear_error(side_by_side[order], labels[order], order < len(train))
    _print(
        args,
        ["train", "test", "width", "error in percent"],
        [[len(train), len(test), side_by_side.shape[1], error]],
    )
    return 0


def convert(args: argparse.Namespace) -> int:
    """Writes the vectors in the format given by the suffix of the file name."""
    vectors = load(args.vectors)
    _by_suffix(
        args.output,
        {
            ".safetensors": vectors.save,
            ".bin": lambda path: vectors.save_word2vec_format(path, binary=True),
            ".txt": vectors.save_word2vec_format,
        },
    )(args.output)
    return 0


def load(path: str) -> "KeyedVectors":
    """Returns the word vectors of a run folder or of a file."""
    from lm.inference.keyed_vectors import KeyedVectors

    if Path(path).is_dir():
        from lm.inference.paragraph_vectors import ParagraphVectors

        found = ParagraphVectors.load(path).wv
        if not len(found):
            raise UserError(f"{path}: documents were trained, not words; use dbow_words or dm_mean")
        return found
    read = _by_suffix(
        path,
        {
            ".safetensors": KeyedVectors.load,
            ".bin": lambda path: KeyedVectors.load_word2vec_format(path, binary=True),
            ".txt": KeyedVectors.load_word2vec_format,
        },
    )
    if not Path(path).is_file():
        raise UserError(f"{path}: no such run folder or file")
    return read(path)


def load_documents(path: str) -> "KeyedVectors":
    """Returns the vectors of the documents of a run folder, or those of a file."""
    if not Path(path).is_dir():
        return load(path)
    from lm.inference.paragraph_vectors import ParagraphVectors

    found = ParagraphVectors.load(path).dv
    if not len(found):
        raise UserError(f"{path}: words were trained, not documents; use dbow or dm_mean")
    return found


def _labels(path: str, name: str) -> list[str]:
    """Returns the labels of a file of documents."""
    from lm.data.storage import readers

    return [row[name] for row in readers.read_rows(path, columns=[name], as_text=[name])]


def _command(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int],
    text: str,
    *,
    nargs: str | None = None,
) -> argparse.ArgumentParser:
    """Adds a subcommand with the common flags."""
    parser = flags.add_command(commands, EXAMPLE, name, function, text)
    parser.add_argument(
        "--vectors", required=True, nargs=nargs, metavar="VECTORS", help="see below"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser


def _by_suffix(path: str, formats: dict[str, Callable[[str], Any]]) -> Callable[[str], Any]:
    """Returns the value for the suffix of a file name."""
    suffix = Path(path).suffix
    if suffix not in formats:
        raise ConfigError(f"{path}: give a name ending in {', '.join(formats)}")
    return formats[suffix]


def _print(args: argparse.Namespace, headers: list[str], rows: list[list[Any]]) -> None:
    """Prints rows as a table, or as objects."""
    if args.json:
        for row in rows:
            print(json.dumps(dict(zip(headers, row, strict=True)), ensure_ascii=False))
        return
    cells = [[f"{x:.4g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    output.print_table(headers, cells)
