"""The comparison at equal times: clocks, curves, table and picture. The half that needs PyTorch is not tested here."""

import json

import pytest
from PIL import Image

from experiments.studies import compare_torch, mixtures
from gan_jax.data import load_source
from gan_jax.trainer.config import check


def curve(*points):
    return [{"seconds": seconds, "steps": steps, "classifier_fd": distance} for seconds, steps, distance in points]


RUN = {"recipe": "dcgan", "width": 32, "seconds": 20.0, "compile_seconds": 8.0}
REPORT = {
    "machine": {"device": "a processor", "cores": 2, "jax": "1", "torch": "2"},
    "command": "python -m experiments.studies.compare_torch",
    "real": 7.5,
    "runs": [
        RUN
        | {
            "seed": seed,
            "curves": {
                "gan_jax": curve((5.1, 0, 900.0), (10.2, 100, 400.0), (15.0, 200, 200.0 + seed), (20.3, 300, 100.0 + 10 * seed)),
                "PyTorch": curve((5.0, 80, 500.0), (10.0, 160, 300.0), (15.0, 240, 250.0), (20.0, 400, 220.0)),
            },
        }
        for seed in (0, 1)
    ],
}


def test_curves_are_read_at_shares_of_the_time():
    run = REPORT["runs"][0]
    assert [compare_torch.at_share(run, "gan_jax", share)["classifier_fd"] for share in (0.25, 0.5, 1.0)] == [900.0, 400.0, 100.0]
    assert compare_torch.at_share(run, "PyTorch", 0.01)["steps"] == 80  # nothing so early: the first


def test_a_slice_counts_however_late_its_last_steps_end():
    slow = curve((11.1, 10, 900.0), (21.4, 20, 400.0), (30.2, 30, 200.0), (41.3, 40, 100.0))
    run = {"seconds": 40.0, "curves": {"gan_jax": slow}}
    assert [compare_torch.at_share(run, "gan_jax", share)["steps"] for share in (0.25, 0.3, 0.5, 1.0)] == [10, 10, 20, 40]


def test_table_by_hand():
    lines = compare_torch.as_markdown(REPORT).splitlines()
    # 300 steps in 20.3 s; distances at the end 100 and 110: mean 105, sample deviation 7.07.
    assert "| dcgan, width 32, 20 s | gan_jax | 2 | 300 ± 0 | 14.8 ± 0.0 | 900.0 ± 0.0 | 400.0 ± 0.0 | 105.0 ± 7.1 |" in lines
    assert "| dcgan, width 32, 20 s | PyTorch | 2 | 400 ± 0 | 20.0 ± 0.0 | 500.0 ± 0.0 | 300.0 ± 0.0 | 220.0 ± 0.0 |" in lines
    assert "gan_jax compiles for 8.0 ± 0.0 s of its time." in lines[2]


def test_written_files(tmp_path, monkeypatch, capsys):
    compare_torch.write(REPORT, tmp_path)
    assert json.loads((tmp_path / "compare_torch.json").read_text()) == REPORT
    with Image.open(tmp_path / "compare_torch.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(100_000)}
        assert set(compare_torch.COLOURS.values()) <= colours
    compare_torch.main(["--table", str(tmp_path / "compare_torch.json")])
    assert capsys.readouterr().out.strip() == (tmp_path / "compare_torch.md").read_text().strip()


def test_configurations_are_those_of_the_recipes_on_the_embedded_digits():
    dcgan, sngan = (compare_torch.config_of(name, None, 3) for name in ("dcgan", "sngan"))
    assert (dcgan.model.name, dcgan.model.width, dcgan.loss.real_target, dcgan.seed) == ("dcgan", 32, (0.9, 0.9), 3)
    assert (sngan.model.name, sngan.transform.spectral_norm, sngan.update.discriminator_steps) == ("sngan", "discriminator", 5)
    assert {dcgan.data.source, sngan.data.source} == {"mnist5k"}
    assert compare_torch.config_of("sngan", 16, 0).model.width == 16


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_the_clock_counts_training_and_not_sampling(devices):
    small = {"batch_size": 8, "scan_steps": 2, "model.width": 4, "model.latent_dim": 8, "model.norm": "none"}
    config = check(mixtures.replaced(compare_torch.config_of("dcgan", None, 0, devices), small))
    training = compare_torch.JaxTraining(config, load_source("mnist5k"))
    assert 0 < training.compile_seconds < training.seconds
    assert training.steps == 0
    until = training.seconds + 0.2
    training.advance(until)
    assert training.seconds >= until
    assert training.steps > 0
    assert training.steps % 2 == 0
    before = training.seconds
    assert training.sample(5).shape == (5, 32, 32, 1)
    assert training.seconds == before
    training.advance(before)
    assert training.seconds == before


def test_a_slice_longer_than_the_time_is_an_error(capsys):
    with pytest.raises(SystemExit) as end:
        compare_torch.main(["--seconds", "3", "--slice", "5"])
    assert end.value.code == 2
    assert "--slice 5" in capsys.readouterr().err
