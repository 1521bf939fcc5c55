"""The study of transfer: its configurations can be built and freeze layers that exist, and its table."""

import dataclasses
import types

import pytest

from experiments.studies import transfer
from gan_jax.trainer.build.gan import build


@pytest.mark.parametrize("model", list(transfer.MODELS))
def test_the_frozen_layers_exist(model, tmp_path):
    config = transfer.configuration(model, 0, tmp_path, steps=2, freeze=(f"discriminator:{transfer.MODELS[model][3]}",))
    assert (config.model.name, config.data.image_size, config.update.discriminator_steps) == (model, 32, 1)
    build(config, (32, 32, 1), 10)  # Raises an error if a pattern matches no layer.
    plain = transfer.configuration(model, 0, tmp_path, steps=2)
    assert dataclasses.replace(config.update, freeze_layers=()) == plain.update


def test_the_table_by_hand():
    def row(arm, seed, distance, same=True):
        frozen = ["discriminator:input|block_0_0"] if arm == "frozen" else []
        return {"model": "r3gan", "seed": seed, "arm": arm, "distance": distance, "same_samples": same, "frozen": frozen}

    rows = [
        row("nothing", 0, 10.0, same=False),
        row("nothing", 1, 12.0, same=False),
        row("parent", 0, 8.0),
        row("frozen", 0, 9.0, same=False),
    ]
    # The sample deviation of 10 and 12 is sqrt(2).
    assert transfer.page_table(rows).splitlines()[-1] == "| `r3gan` | 11.0 ± 1.4 | 8.0 | 9.0 | `input`, `block_0_0` | 1 of 2 |"


def test_nothing_is_measured_after_a_run_that_a_signal_ended(monkeypatch, tmp_path):
    config = transfer.configuration("mlp", 0, tmp_path / "run", steps=5)
    monkeypatch.setattr("gan_jax.trainer.loop.train", lambda config, **_: types.SimpleNamespace(step=3))
    with pytest.raises(SystemExit, match="stopped: run ended at step 3 of 5"):
        transfer.finish(config)
