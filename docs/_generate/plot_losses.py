"""Draws every adversarial loss and its gradient against the logit, for docs/losses.md.

    python -m docs._generate.plot_losses --out docs/images/losses.png

This needs matplotlib. In the relativistic rows the other logit is 0.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.rows import need_matplotlib
from gan_jax.cli.parsing import argument_parser
from gan_jax.losses import ADVERSARIAL

OUT = Path(__file__).parents[2] / "docs" / "images" / "losses.png"


def curves(name: str, logits: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Value and gradient of the loss of D against its real logit and its fake logit, and of the loss of G against its fake logit."""
    loss, zero = ADVERSARIAL[name], jnp.zeros(1)

    def at(function):
        return jax.vmap(jax.value_and_grad(lambda x: function(x[None])[0]))(logits)

    return {
        "D, real logit": at(lambda x: loss.discriminator(x, zero)),
        "D, fake logit": at(lambda x: loss.discriminator(zero, x)),
        "G, fake logit": at(lambda x: loss.generator(x, zero)),
    }


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--out", type=Path, default=OUT, help="file of the picture; its suffix is the format (default: docs/images/losses.png)"
    )
    path = parser.parse_args().out
    need_matplotlib("the picture")
    import matplotlib.pyplot as plt

    logits = jnp.linspace(-4, 4, 401)
    figure, axes = plt.subplots(len(ADVERSARIAL), 2, figsize=(9, 2.1 * len(ADVERSARIAL)), sharex=True, layout="constrained")
    for row, name in zip(axes, ADVERSARIAL):
        for label, pair in curves(name, logits).items():
            for axis, values in zip(row, pair):
                axis.plot(np.asarray(logits), np.asarray(values), label=label, linewidth=1.4, linestyle="--" if label[0] == "G" else "-")
        row[0].set_ylabel(name.replace("relativistic_average", "rel. average").replace("_", " "), fontsize=8)
        for axis in row:
            axis.axhline(0, color="0.8", linewidth=0.6, zorder=0)
            axis.tick_params(labelsize=7)
    axes[0, 0].set_title("value")
    axes[0, 1].set_title("gradient")
    axes[0, 0].legend(fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("logit")
    plt.rcParams["svg.hashsalt"] = "gan_jax"  # the same picture has the same bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
