"""`lm bench --profile`: what an operation is, by XLA's text, and how a trace adds up."""

import json

import pytest

from lm.bench import hlo
from lm.bench.hlo import Operation
from lm.bench.profile import OTHER, PRODUCTS, kind_of, summary
from lm.bench.trace import Event, Trace
from lm.cli.main import main

PROGRAM = """HloModule jit_step
%fused_dot (p.1: f32[2,3], p.2: f32[3,4]) -> f32[2,4] {
  %d.1 = f32[2,4]{1,0} dot(%p.1, %p.2), metadata={op_name="model/hidden/MatMul"}
  ROOT %a.1 = f32[2,4]{1,0} tanh(%d.1), metadata={op_name="model/gelu"}
}
%fused_norm (p.3: f32[2,4]) -> f32[2,4] {
  ROOT %m.1 = f32[2,4]{1,0} multiply(%p.3, %p.3)
}
ENTRY %main (x: f32[2,3]) -> f32[2,4] {
  %fusion.1 = f32[2,4]{1,0} fusion(%x, %w), kind=kOutput, calls=%fused_dot
  %fusion.2 = f32[2,4]{1,0} fusion(%fusion.1), kind=kLoop, calls=%fused_norm, \
metadata={op_name="jit(step)/matmul/layer_norm/mul"}
  %while.1 = (s32[], /*index=1*/f32[2,4]{1,0}) while(%tuple), condition=%c, body=%b
  ROOT %copy.1 = f32[2,4]{1,0} copy(%fusion.2)
}
"""


def test_an_operation_is_what_it_calls():
    found = hlo.operations(PROGRAM)
    assert found["fusion.1"] == Operation(
        "fusion", "model/gelu", is_product=True, is_container=False
    )
    assert kind_of(found["fusion.1"]) == PRODUCTS
    assert kind_of(found["fusion.2"]) == "norm"  # a name in its scope makes no product of it
    assert found["while.1"].is_container and not found["copy.1"].is_container
    assert kind_of(found["copy.1"]) == kind_of(None) == OTHER


def test_times_add_up_and_a_loop_counts_by_what_it_runs():
    events = [Event("while.1", 0.0, 8.0), Event("fusion.1", 0.0, 3.0), Event("fusion.1", 4.0, 7.0)]
    events += [Event("fusion.2", 2.0, 4.0), Event("copy.1", 9.0, 10.0)]
    found = summary(Trace(events, 12.0, 40, 1.0), hlo.operations(PROGRAM), calls=2)
    assert [(row.name, row.seconds) for row in found.rows] == [
        (PRODUCTS, 3.0),
        ("norm", 1.0),
        (OTHER, 0.5),
    ]
    assert found.rows[0].share == pytest.approx(3.0 / 4.5)
    assert found.rows[0].largest == ["fusion (model/gelu) 3000.00 ms"]
    assert (found.seconds, found.waiting, found.faults) == (6.0, 2.0, 20)


@pytest.mark.slow
def test_a_profile_of_a_tiny_model(capsys):
    tiny = ["HIDDEN_DIM=32", "INTERMEDIATE_DIM=64", "NUM_LAYERS=1", "NUM_HEADS=2"]
    words = [f"--gin.{binding}" for binding in [*tiny, "VOCABULARY_SIZE=64"]]
    sizes = ["--batch_size=2", "--length=16", "--windows=1"]
    assert (
        main(["bench", "--gin_file=models/gpt2/small.gin", *words, *sizes, "--profile", "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"training step", "search"}
    for each in found.values():
        assert sum(row["share"] for row in each["rows"]) == pytest.approx(1)
        assert 0 <= each["waiting"] <= each["seconds"]
