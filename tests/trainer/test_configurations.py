"""Random configurations: an invalid one is refused with one line that names it, and a valid one trains with finite results."""

import contextlib
import dataclasses
import io
import json
import math
import os
import shutil

import jax
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from gan_jax.cli.errors import errors_as_lines
from gan_jax.trainer.config import load_config
from gan_jax.trainer.loop import train
from support.configurations import BREAKS, SMALLEST, combinations, refusals, set_field
from support.data_files import write_idx_set

EVERY = tuple(SMALLEST)
# Configurations of the long test. Each operation is compiled for each new shape, and these models have few shapes.
TRAINED = {"points": 200, "mlp": 180, "dcgan": 80, "vaegan": 40}


def thorough(count):
    """Settings of a fixed number of examples, the same in every run, without a deadline and without shrinking, which takes minutes."""
    options = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
    return settings(max_examples=count, phases=[Phase.generate], **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Returns a directory with a data set of thirty images."""
    directory = tmp_path_factory.mktemp("configurations")
    write_idx_set(directory / "data")
    return directory


def received(values, place, *, compiled=False):
    """Trains as `gan-jax train --config` does: (exit status, standard error, result, rows of metrics)."""
    (place / "config.yaml").write_text(yaml.safe_dump(values))
    shutil.rmtree(place / "run", ignore_errors=True)
    said, trained, status = io.StringIO(), None, 0
    # Without jit the arithmetic is the same, and nothing is compiled for two steps.
    with contextlib.redirect_stderr(said), contextlib.nullcontext() if compiled else jax.disable_jit(), open(os.devnull, "w") as nothing:
        try:
            with errors_as_lines():
                config = dataclasses.replace(load_config(place / "config.yaml"), out=place / "run")
                trained = train(config, console=Console(file=nothing))
        except SystemExit as end:
            status = end.code
    log = place / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return status, said.getvalue(), trained, rows


def assert_trains(values, place, *, compiled=False):
    status, said, trained, rows = received(values, place, compiled=compiled)
    assert status == 0, said
    assert trained.step == values["steps"]
    assert rows[-1]["step"] == trained.step
    infinite = [f"{name} of step {row['step']}" for row in rows for name, value in row.items() if not math.isfinite(value)]
    leaves = jax.tree_util.tree_leaves_with_path(trained.params)
    infinite += [jax.tree_util.keystr(path) for path, leaf in leaves if not np.isfinite(np.asarray(leaf, np.float32)).all()]
    assert not infinite


def assert_refused(values, place, names):
    status, said, _, _ = received(values, place)
    assert status == 2
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    assert len(lines[0]) < 700, lines[0]
    plain = lines[0].replace("-", "_")
    assert any(name.replace("-", "_") in plain for name in names), f"{names} not in: {lines[0]}"
    assert not (place / "run").exists(), "a refused configuration left a directory behind"


def checks(count, models):
    """Returns the checks of valid, incompatible and broken configurations, with 2 * count, count and count examples."""

    def valid(place):
        done = []

        @thorough(2 * count)
        @given(combinations(place / "data", models).filter(lambda values: not refusals(values)))
        def check(values):
            assert_trains(values, place)
            done.append(values)

        check()
        return len(done)

    def together(place):
        refused = []

        @thorough(count)
        @given(combinations(place / "data", models, most=14).filter(refusals))
        def check(values):
            assert_refused(values, place, [name.rsplit(".", 1)[-1] for name in refusals(values)])
            refused.append(values)

        check()
        return len(refused)

    def broken(place):
        refused = []

        @thorough(count)
        @given(combinations(place / "data", models, most=3).filter(lambda values: not refusals(values)), st.data())
        def check(values, data):
            path = data.draw(st.sampled_from(sorted(BREAKS)))
            set_field(values, path, data.draw(st.sampled_from(BREAKS[path])))
            assert_refused(values, place, [path.rsplit(".", 1)[-1], "data.directory"])
            refused.append(values)

        check()
        return len(refused)

    return {"valid": valid, "together": together, "broken": broken}


@pytest.mark.parametrize("kind", ["valid", "together", "broken"])
def test_a_few_random_configurations(kind, place):
    assert checks(4, ("points",) if kind == "valid" else EVERY)[kind](place) >= 4


def test_a_random_configuration_is_compiled_and_trained(place):
    @thorough(2)
    @given(combinations(place / "data", ("mlp", "points")).filter(lambda values: not refusals(values)))
    def check(values):
        assert_trains(values, place, compiled=True)

    check()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["together", "broken"])
def test_five_hundred_invalid_configurations_are_refused(kind, place):
    count = checks(250, EVERY)[kind](place)
    print(f"{kind}: {count} configurations")
    assert count >= 250


@pytest.mark.long
@pytest.mark.parametrize(("model", "count"), TRAINED.items())
def test_five_hundred_valid_configurations_are_trained(model, count, place):
    done = checks(count // 2, (model,))["valid"](place)
    print(f"{model}: {done} configurations")
    assert done >= count
