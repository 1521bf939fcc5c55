import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax._internal.batches import in_batches


@pytest.mark.parametrize(("count", "size", "seen"), [(7, 3, 3), (8, 4, 4), (3, 5, 3), (9, 8, 5), (4, None, 4)])
def test_parts_give_the_result_of_the_whole(count, size, seen):
    sizes = []

    def double(inputs, rng):
        x, nothing = inputs
        assert nothing is None
        assert rng is None
        sizes.append(len(x))
        return {"y": 2 * x}

    x = jnp.arange(3.0 * count).reshape(count, 3)
    np.testing.assert_array_equal(in_batches(double, (x, None), None, size)["y"], 2 * x)
    assert set(sizes) == {seen}  # The parts are as equal as possible.


def test_each_part_has_its_own_key():
    def noise(x, rng):
        return x + jax.random.normal(rng, x.shape)

    rows = np.asarray(in_batches(noise, jnp.zeros((6, 2)), jax.random.key(0), 2))
    assert len({row.tobytes() for row in rows}) == 6
    whole = noise(jnp.zeros((6, 2)), jax.random.key(0))
    np.testing.assert_array_equal(in_batches(noise, jnp.zeros((6, 2)), jax.random.key(0), 6), whole)


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1 or None; got 0"):
        in_batches(lambda x, rng: x, jnp.zeros((2, 1)), None, 0)
