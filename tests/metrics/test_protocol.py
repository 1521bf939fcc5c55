import errno
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import metrics
from gan_jax._internal.files import cache_folder
from gan_jax.metrics import protocol
from support.metrics_golden import reference

REAL, FAKE = reference.image_pairs(24, 16)
LABELS = np.arange(24) % 3


def extractor(runs=None, factor=1.0):
    def apply(params, images):
        if runs is not None:
            runs.append(len(images))
        means = images.reshape(len(images), 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(len(images), -1) * params
        return means.astype(jnp.float32), means[:, :5]

    return metrics.FeatureExtractor("blocks", np.float32(factor), apply, resize="none", batch_size=8)


# Every row of the table: finite values, records that state the protocol and warn_on_oserror JSON.
@pytest.mark.parametrize("metric", sorted(metrics.METRICS))
def test_every_metric_states_its_protocol(metric, monkeypatch):
    monkeypatch.setattr(protocol.accuracy.classification_accuracy_score, "__kwdefaults__", {"fit": metrics.fit_linear})
    records = metrics.measure(
        FAKE, REAL, extractor(), metrics=[metric], fake_labels=LABELS, real_labels=LABELS, reference="waves/test", seed=5, ema=True
    )
    assert records
    for record in records:
        assert np.isfinite(record.value)
        assert (record.samples, record.reference, record.reference_samples) == (24, "waves/test", 24)
        assert (record.seed, record.ema) == (5, True)
        assert record.extractor == ("pixels" if metric in protocol.ON_PIXELS else "blocks")
        assert json.loads(json.dumps(record._asdict()))["metric"] == record.metric


def test_values_are_those_of_the_functions():
    blocks = extractor()
    records = metrics.measure(FAKE, REAL, blocks, metrics=["frechet_distance", "precision_recall", "sliced_wasserstein"], seed=2)
    by_name = {record.metric: record.value for record in records}
    assert list(by_name) == ["frechet_distance", "precision", "recall", "sliced_wasserstein"]
    assert by_name["frechet_distance"] == metrics.frechet_distance(blocks(REAL), blocks(FAKE))
    assert (by_name["precision"], by_name["recall"]) == metrics.precision_recall(blocks(REAL), blocks(FAKE))
    assert by_name["sliced_wasserstein"] == metrics.sliced_wasserstein(REAL, FAKE, seed=2).value


def test_metrics_of_the_fakes_alone_need_no_reals():
    names = sorted(protocol.WITHOUT_REALS)
    alone = metrics.measure(FAKE, None, extractor(), metrics=names, seed=2)
    beside = metrics.measure(FAKE, REAL, extractor(), metrics=names, seed=2)
    assert [record.value for record in alone] == [record.value for record in beside]
    assert all(record.reference_samples == 0 and "real" not in record.details for record in alone)
    with pytest.raises(
        ValueError, match="frechet_distance needs real_images; without them there are inception_score, ms_ssim, vendi_score"
    ):
        metrics.measure(FAKE, None, extractor(), metrics=["ms_ssim", "frechet_distance"])


def test_float_images_are_measured_as_they_would_be_saved():
    as_float = FAKE.astype(np.float32) / 127.5 - 1
    first, second = (metrics.measure(x, REAL, extractor(), metrics=["frechet_distance"]) for x in (FAKE, as_float))
    assert first == second


def test_reference_features_are_cached_by_content(tmp_path):
    def measure(real, factor=1.0, names=("frechet_distance", "precision_recall")):
        done = []
        records = metrics.measure(FAKE, real, extractor(factor=factor), metrics=names, cache=tmp_path, progress=done.append)
        return [record.value for record in records], len(done)

    values, batches = measure(REAL)
    assert batches == 6  # three of the fakes, three of the reals
    assert measure(REAL.copy()) == (values, 3)
    changed = REAL.copy()
    changed[3, 2, 1, 0] ^= 1
    assert measure(changed)[1] == 6
    assert measure(REAL, factor=2.0)[1] == 6
    for path in tmp_path.iterdir():  # damage is noticed, and mended
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert measure(REAL) == (values, 6)
    assert measure(REAL) == (values, 3)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".npz"]


def test_a_cache_that_cannot_be_written_costs_no_metrics(tmp_path, monkeypatch):
    def full_disk(file, **arrays):
        file.write(b"PK and no more")
        raise OSError(errno.ENOSPC, "No space left on device")

    def measure(cache):
        return metrics.measure(FAKE, REAL, extractor(), metrics=["frechet_distance"], cache=cache)

    expected = measure(None)
    (tmp_path / "file").write_text("no folder")
    assert measure(tmp_path / "file" / "statistics") == expected
    monkeypatch.setattr(np, "savez", full_disk)
    assert measure(tmp_path / "full") == expected
    assert list((tmp_path / "full").iterdir()) == []


def test_the_cache_is_where_the_user_keeps_such_things(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "gan_jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "gan_jax"
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder() is None


def test_the_kernel_distance_says_how_large_its_subsets_were():
    (record,) = metrics.measure(FAKE[:20], REAL, extractor(), metrics=["kernel_distance"])
    assert record.details["subset_size"] == 20
    assert np.isnan(record.details["standard_error"])


def test_a_generator_that_drops_a_class_shows_in_the_class():
    real = np.stack([np.full((16, 16, 3), 40 * c, np.uint8) for c in LABELS]) + (REAL // 16)
    dropped = real.copy()
    dropped[LABELS == 2] = real[LABELS == 0]
    (record,) = metrics.measure(
        dropped, real, extractor(), metrics=["intra_class_frechet_distance"], fake_labels=LABELS, real_labels=LABELS
    )
    assert max(record.details["per_class"], key=record.details["per_class"].get) == "2"


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(KeyError, match="unknown metric 'fid'; must be one of frechet_distance"):
        metrics.measure(FAKE, REAL, extractor(), metrics=["fid"])
    with pytest.raises(ValueError, match="needs a feature extractor"):
        metrics.measure(FAKE, REAL)
    with pytest.raises(ValueError, match="needs fake_labels and real_labels"):
        metrics.measure(FAKE, REAL, extractor(), metrics=["intra_class_frechet_distance"])
    with pytest.raises(ValueError, match="one shape"):
        metrics.measure(FAKE[:, :8], REAL, extractor())
    silent = metrics.FeatureExtractor("silent", {}, lambda params, x: (x.mean(axis=(1, 2)), None), batch_size=8)
    with pytest.raises(ValueError, match="needs an extractor that classifies; silent does not"):
        metrics.measure(FAKE, REAL, silent, metrics=["inception_score"])


def test_ranges_are_declared_or_refused_and_nan_is_refused():
    images = np.random.default_rng(0).random((6, 8, 8, 1)).astype(np.float32)
    as_bytes = np.rint(images * 255).astype(np.uint8)
    with pytest.raises(ValueError, match=r"pass value_range=\(0, 1\)"):
        metrics.measure(images, as_bytes, "pixels", metrics=["kernel_distance"])
    for given in (images, 2 * images - 1):
        value_range = (0, 1) if given.min() >= 0 else (-1, 1)
        (record,) = metrics.measure(given, as_bytes, "pixels", metrics=["frechet_distance"], value_range=value_range)
        assert abs(record.value) < 1e-3
        assert record.extractor == "pixels"
    broken = 2 * images - 1
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        metrics.measure(broken, as_bytes, "pixels", value_range=(-1, 1))


def test_pixels_are_an_extractor():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 1), np.uint8)
    features = metrics.feature_extractor("pixels")(images)
    np.testing.assert_allclose(features, images.reshape(5, 12) / 127.5 - 1, atol=1e-6)
