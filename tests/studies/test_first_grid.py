"""The measurement of what a newcomer waits for."""

import pytest

from experiments.benchmarks import first_grid

ROW = {"grids": [[9.6, 0], [31.2, 200]], "longest_silence": 4.25, "processor": "AMD", "cores": 2, "jax": "0.10.2"}


def test_summary_by_hand():
    assert first_grid.summary(ROW) == (
        "10 s to the grid of step 0, 31 s to that of step 200, at most 4.2 s without a line (AMD, 2 cores, JAX 0.10.2)"
    )

    assert first_grid.page_text([{}, ROW]) == first_grid.summary(ROW)
    assert first_grid.page_text([]) == "not measured"


@pytest.mark.long
def test_a_small_run_is_watched_until_its_second_grid(tmp_path):
    small = "--model.width=4 --model.latent-dim=8 --batch-size=8 --data.image-size=16 --sample-every=1 --monitor.no-enabled --steps=4000"
    facts = first_grid.watch(small.split(), tmp_path)
    (first, zero), (second, step) = facts["grids"]
    assert (zero, step) == (0, 1)
    times = [seconds for seconds, _ in facts["lines"]]
    assert 0 < first < second
    assert times == sorted(times)
    assert facts["lines"][0][1] == "run: runs/dcgan_mnist"
    assert str(tmp_path) not in str(facts)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], [*times, second])]
    assert facts["longest_silence"] == pytest.approx(max(gaps), abs=0.02)
    assert (tmp_path / "cache" / "gan_jax").is_dir()


@pytest.mark.slow
def test_a_program_that_fails_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"exited with status 2: error: .*--no-such-flag"):
        first_grid.watch(["--no-such-flag"], tmp_path)
