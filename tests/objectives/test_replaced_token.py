"""ReplacedToken against NumPy written from its equations, and the rules of ELECTRA's data."""

import keras
import numpy as np
import pytest
from keras import ops

from lm import engines
from lm.errors import LayerError
from lm.nn.random import gumbel, uniform
from lm.objectives import discrimination
from lm.objectives.replaced_token import Outputs, corrupt, first_positions
from lm.optim import adamw
from tests import built
from tests.batches import batch
from tests.catalogue import ELECTRA, FUNNEL_ELECTRA, NARROW, PREDICTIONS, VOCABULARY_SIZE, family
from tests.engine import assert_near, differentiate, fill, filled, numpy

TINY = PREDICTIONS | NARROW | {"DROPOUT_RATE": 0.0}
LENGTH = built.LENGTH
NOISE = np.random.default_rng(0)
TEXT = {
    "encoder_target_tokens": np.array([[5, 6, 7, 8, 9, 0], [4, 4, 3, 0, 0, 0]], "int32"),
    "encoder_loss_weights": np.array([[0, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]], "float32"),
    "encoder_segment_ids": np.array([[1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]], "int32"),
}
CHOSEN = TEXT["encoder_loss_weights"] > 0


def features(rate=0.3):
    """The catalogue's packed rows, of which some tokens are chosen and masked."""
    made = batch(built.objective("replaced_token").model, built.ROWS, LENGTH)
    chosen = (np.random.default_rng(1).uniform(size=(2, LENGTH)) < rate) & (
        made["encoder_segment_ids"] > 0
    )
    return made | {
        "encoder_input_tokens": np.where(chosen, VOCABULARY_SIZE - 1, made["encoder_input_tokens"]),
        "encoder_loss_weights": chosen.astype("float32"),
    }


def make(*files, **macros):
    """A built and filled objective."""
    made = family(*ELECTRA, *files, **TINY | macros)()
    made(features())
    fill(made)
    return made


def corrupted(samples):
    return numpy(corrupt(TEXT, ops.convert_to_tensor(CHOSEN), ops.convert_to_tensor(samples)))


def test_samples_stand_at_the_first_chosen_positions():
    positions = first_positions(ops.convert_to_tensor(CHOSEN), 2)
    np.testing.assert_array_equal(positions, [[1, 3], [0, 1]])
    text = corrupted(np.array([[11, 12], [13, 14]], "int32"))
    np.testing.assert_array_equal(text.tokens, [[5, 11, 7, 12, 9, 0], [13, 4, 3, 0, 0, 0]])
    np.testing.assert_array_equal(text.is_chosen, [[0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(text.is_real, TEXT["encoder_segment_ids"])


def test_a_sample_that_equals_the_original_is_no_replacement():
    text = corrupted(np.array([[6, 12, 9], [4, 9, 9]], "int32"))
    np.testing.assert_array_equal(text.is_replaced, [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]])


def reference(made, features, outputs):
    """Returns name → mean of every term, in float64."""
    logits, positions, text, x = numpy(outputs)
    targets = np.take_along_axis(features["encoder_target_tokens"], positions, 1)
    weights = np.take_along_axis(features["encoder_loss_weights"], positions, 1)
    p = np.exp(logits.astype("float64"))
    hit = np.take_along_axis(p / p.sum(-1, keepdims=True), targets[..., None], -1)[..., 0]
    real, replaced = text.is_real, text.is_real * (text.tokens != text.original)
    x = x[..., 0].astype("float64")
    loss = np.log1p(np.exp(np.where(replaced > 0, -x, x)))
    right = (x > 0) == (replaced > 0)
    pairs = [
        (x[b, i] > x[b, j]) + 0.5 * (x[b, i] == x[b, j])
        for b in range(2)
        for i in np.flatnonzero(replaced[b])
        for j in np.flatnonzero(real[b] - replaced[b])
    ]
    generator = (-np.log(hit) * weights).sum() / weights.sum()
    discriminator = (loss * real).sum() / real.sum()
    return {
        "loss": generator + made.discriminator_weight * discriminator,
        "generator_loss": generator,
        "generator_accuracy": ((logits.argmax(-1) == targets) * weights).sum() / weights.sum(),
        "replaced_share": replaced.sum() / real.sum(),
        "discriminator_loss": discriminator,
        "discriminator_accuracy": (right * real).sum() / real.sum(),
        "discriminator_auc": np.mean(pairs),
        "replaced_recall": (right * replaced).sum() / replaced.sum(),
    }


def means(terms):
    pairs = {name: (float(total), float(weight)) for name, (total, weight) in terms.items()}
    return {name: total / weight for name, (total, weight) in pairs.items() if weight}


def test_terms_equal_the_reference():
    made, given = built.objective("replaced_token"), features()
    outputs = made(given)
    found, expected = means(made.terms(given, outputs)), reference(made, given, outputs)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_an_untrained_model_begins_at_the_loss_of_chance():
    """ln V + 50 ln 2, 45.0 with V = 30522: the heads' initial outputs are near zero."""
    made = family(*ELECTRA, **TINY)()
    given = features()
    loss = means(made.terms(given, made(given)))["loss"]
    assert loss == pytest.approx(np.log(VOCABULARY_SIZE) + 50 * np.log(2), rel=0.01)


def test_no_gradient_of_the_discriminator_reaches_the_generator():
    made, given = built.objective("replaced_token"), features()

    def loss():
        total = made.terms(given, made(given))["discriminator_loss"].total
        return total, total

    _, gradients = differentiate(loss, made.trainable_variables)()
    for path, gradient in gradients.items():
        assert np.any(gradient) != ("/generator/" in path), path


def test_without_its_weight_the_loss_is_that_of_masked_tokens():
    made, given = make(DISCRIMINATOR_WEIGHT=0.0), features()
    found = means(made.terms(given, made(given)))
    assert found["loss"] == pytest.approx(found["generator_loss"])


def test_terms_of_rows_add_up_to_those_of_the_batch():
    made, given = built.objective("replaced_token"), features()
    outputs = made(given)
    whole = numpy(made.terms(given, outputs))
    positions = numpy(outputs.positions)
    parts = []
    for i in range(2):
        half = {name: x[i : i + 1] for name, x in given.items()}
        text = discrimination.Corrupted(*(numpy(x)[i : i + 1] for x in outputs.text))
        rest = (numpy(x)[i : i + 1] for x in (outputs.generator, outputs.discriminator))
        logits, detected = rest
        parts.append(numpy(made.terms(half, Outputs(logits, positions[i : i + 1], text, detected))))
    for name in whole.keys() - {"loss"}:
        for k in range(2):
            assert sum(float(part[name][k]) for part in parts) == pytest.approx(
                float(whole[name][k]), rel=1e-5
            )


def test_evaluation_draws_for_a_row_what_it_draws_in_any_batch():
    made, given = built.objective("replaced_token"), features()
    both = numpy(made(given).text.tokens)
    turned = numpy(made({name: x[::-1] for name, x in given.items()}).text.tokens)
    np.testing.assert_array_equal(both, turned[::-1])


def test_evaluation_draws_the_same_samples_again_and_training_new_ones():
    made, given = make(), features()
    first, again = (numpy(made(given).text.tokens) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    drawn = [numpy(made(given, training=True).text.tokens) for _ in range(3)]
    assert any((x != drawn[0]).any() for x in drawn)


def test_samples_follow_the_generators_distribution():
    logits = np.log(np.array([0.5, 0.3, 0.2], "float32"))
    u = uniform((20_000, 3), keras.random.SeedGenerator(1))
    noise = numpy(gumbel(u))
    counts = np.bincount((logits + noise).argmax(-1), minlength=3) / 20_000
    assert_near(counts, np.exp(logits), 0.015)


ABLATIONS = {
    "detect_chosen": ((), {"TASK": "@discrimination.detect_chosen"}),
    "replace_mlm": (("../objectives/replace_mlm.gin",), {}),
    "all_tokens_mlm": (("../objectives/all_tokens_mlm.gin",), {}),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations(name):
    files, macros = ABLATIONS[name]
    made, given = make(*files, **macros), features()
    outputs = made(given)
    terms = made.terms(given, outputs)
    total, weight = REFERENCES[name](numpy(outputs.text), numpy(outputs.discriminator))
    assert_near(terms["discriminator_loss"].total, total, 1e-5)
    assert_near(terms["discriminator_loss"].weight, weight, 1e-6)
    lam = 50 if name == "detect_chosen" else 1
    loss = means({"loss": terms["generator_loss"]})["loss"] + lam * total / weight
    assert means(terms)["loss"] == pytest.approx(loss, rel=1e-5)


def detected(text, logits):
    """Binary cross entropy of the chosen tokens."""
    x, is_replaced = logits[..., 0], text.tokens != text.original
    loss = np.log1p(np.exp(np.where(is_replaced, -x, x)))
    return (loss * text.is_chosen).sum(), text.is_chosen.sum()


def restored(text, logits):
    """Cross entropy of the original of the chosen tokens."""
    p = original_probability(logits, text)
    return -(np.log(p) * text.is_chosen).sum(), text.is_chosen.sum()


def restored_or_copied(text, outputs):
    """The same of all tokens, where what was read has the probability c besides."""
    c = 1 / (1 + np.exp(-outputs.copy))
    p = c * (text.tokens == text.original) + (1 - c) * original_probability(outputs.tokens, text)
    return -(np.log(p) * text.is_real).sum(), text.is_real.sum()


def original_probability(logits, text):
    p = np.exp(logits.astype("float64"))
    p /= p.sum(-1, keepdims=True)
    return np.take_along_axis(p, text.original[..., None], -1)[..., 0]


REFERENCES = {
    "detect_chosen": detected,
    "replace_mlm": restored,
    "all_tokens_mlm": restored_or_copied,
}


@pytest.mark.parametrize(
    ("tie", "shared"),
    [("tie_nothing", ()), ("tie_embedder", ("embedder",)), ("tie_all", ("embedder", "stack"))],
)
def test_what_the_two_models_share(tie, shared):
    made = family(*ELECTRA, **TINY | {"TIE": f"@tying.{tie}", "GENERATOR_FRACTION": 1.0})()
    made(features())
    own = {v.path.split("/")[2] for v in made.variables if "/generator/" in v.path}
    assert own == {"embedder", "stack", "head"} - set(shared)
    kept = {v.path.split("/")[2] for v in made.model.variables}
    assert kept == {"embedder", "stack", "head"}
    assert not any("/generator/" in v.path for v in made.model.variables)


REFUSED = [
    ({"GENERATOR_FRACTION": 2.0}, ELECTRA, "generator is 32 wide, the discriminator 16: lower GEN"),
    ({"MAX_PREDICTIONS": 13}, ELECTRA, "max_predictions = 13 is more than the 12 tokens of a row"),
    (
        {"BLOCK_SIZES": [1, 1], "NUM_LAYERS": None, "EMBEDDING_DIM": None, "NUM_DECODER_LAYERS": 0},
        FUNNEL_ELECTRA,
        "6 outputs for 12 tokens: set NUM_DECODER_LAYERS",
    ),
]


@pytest.mark.parametrize(("macros", "files", "words"), REFUSED)
def test_what_does_not_fit_is_refused(macros, files, words):
    with pytest.raises(LayerError, match=words):
        filled(family(*files, **TINY | macros)(), features())


def test_a_wider_generator_may_be_asked_for():
    bindings = {"GENERATOR_FRACTION": 2.0, "replaced_token.ReplacedToken.max_width_ratio": 2.0}
    made = family(*ELECTRA, **TINY | bindings)()
    assert numpy(made(features()).generator).shape == (2, 4, VOCABULARY_SIZE)


LEARNS = {"HIDDEN_DIM": 64, "INTERMEDIATE_DIM": 128, "NUM_LAYERS": 2, "DROPOUT_RATE": 0.0}


@pytest.mark.slow
def test_a_discriminator_finds_what_was_replaced_in_texts_it_knows():
    """Which token is wrong only the rest of its row tells."""
    keras.utils.set_random_seed(0)
    made = family(*ELECTRA, **PREDICTIONS | LEARNS)()
    text = np.random.default_rng(2).permuted(np.tile(np.arange(3, 35), (8, 1)), axis=1)
    text = text[:, :LENGTH].astype("int32")
    draw = np.random.default_rng(3)

    def masked():
        chosen = draw.uniform(size=text.shape) < 0.15
        return {
            "encoder_input_tokens": np.where(chosen, VOCABULARY_SIZE - 1, text).astype("int32"),
            "encoder_target_tokens": text,
            "encoder_loss_weights": chosen.astype("float32"),
        }

    engine = engines.get()(
        objective=made, optimizer=adamw(learning_rate=1e-3, clip_norm=1.0), features=masked()
    )
    found = []
    for _ in range(10):
        for _ in range(100):
            engine.step(masked())
        found.append(engine.logs()["discriminator_auc"])
    assert found[0] < 0.8
    assert found[-1] > 0.9
