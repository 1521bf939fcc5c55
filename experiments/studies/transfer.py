"""Whether a GAN that begins with the weights of another data set is ahead of one that begins from nothing.

    python -m experiments.studies.transfer --directory /usr/share/datasets/fashion-mnist --out docs/data/transfer.jsonl
    python -m experiments.studies.transfer --table docs/data/transfer.jsonl       the table of the rows in a file

A parent learns the 4,000 embedded digits. Then the same model learns 10,000 images of Fashion-MNIST (its test split) for 200 steps in
three ways: from nothing, with the parent's weights (`--init-from`), and with the parent's weights while the layers of D next to the image
stay frozen (`--freeze-layers`). All three have equal seeds, data order and settings. The outcome is the Fréchet distance of 2,000 samples
to 5,000 training images in the features of the shipped digit classifier, which never saw clothes. It orders runs; it is no FID.

A row also says whether the samples before the first step equal those of the parent, byte for byte.

Differs: small networks and few steps, for one core and minutes. Mo et al. (2020) fine-tune for 50,000 steps.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from docs._generate.tables import mean_and_deviation, table
from experiments.rows import append_rows, command_of, origin, read_rows
from gan_jax.cli.compilation_cache import use_compilation_cache
from gan_jax.cli.errors import errors_as_lines
from gan_jax.cli.parsing import parse_flags

# Model -> (recipe, changes of the model, batch size, the frozen layers of D).
MODELS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "mlp": ("mlp_mnist", {}, 64, "dense_0"),
    "dcgan": ("dcgan_mnist", {"width": 16}, 32, "down_0"),
    "sngan": ("sngan", {"width": 16}, 32, "block_0"),
    "r3gan": ("r3gan", {"width": 16, "options": {"blocks": 1}}, 32, "input|block_0_0"),
}
ARMS = {"nothing": "from nothing", "parent": "from the digits", "frozen": "from the digits, first layers of D frozen"}
PARENT_STEPS, STEPS, SAMPLES, REFERENCE = 400, 200, 2000, 5000


@dataclasses.dataclass(frozen=True)
class Flags:
    """What to measure."""

    directory: Path = Path("/usr/share/datasets/fashion-mnist")
    """Directory of the IDX files of Fashion-MNIST."""
    models: tuple[str, ...] = tuple(MODELS)
    """Models to measure."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds of the runs on Fashion-MNIST."""
    out: Path | None = None
    """File of JSON lines to which the rows are added. Rows that it has are not measured again."""
    table: Path | None = None
    """Only print the table of the rows in a file."""


def configuration(model: str, seed: int, out: Path, **changes: Any) -> Any:
    """The configuration of a run of a model."""
    from gan_jax.recipes import recipes
    from gan_jax.trainer.config import check

    recipe, sizes, batch, _ = MODELS[model]
    config = recipes()[recipe][1]
    monitor, evaluation = dataclasses.replace(config.monitor, enabled=False), dataclasses.replace(config.evaluation, samples=0, every=0)
    update = dataclasses.replace(config.update, discriminator_steps=1, freeze_layers=changes.pop("freeze", ()))
    sized = dataclasses.replace(config.model, **{**sizes, "options": config.model.options | sizes.get("options", {})})
    data = dataclasses.replace(config.data, image_size=32, **changes.pop("data", {"source": "mnist5k"}))
    quiet = {"checkpoint_every": 0, "sample_every": 0, "tensorboard": False, "epochs": 0, "recipe": recipe, "batch_size": batch}
    parts = {"model": sized, "data": data, "update": update, "monitor": monitor, "evaluation": evaluation}
    return check(dataclasses.replace(config, seed=seed, out=out, **quiet, **parts, **changes))


def distance(run: Path) -> float:
    """The Fréchet distance of samples of a run to its training images, in the features of the digit classifier."""
    from gan_jax import metrics
    from gan_jax.trainer.evaluate import random_images
    from gan_jax.trainer.loaded_run import load_run
    from gan_jax.trainer.sample_images import sample_images

    loaded = load_run(run)
    fakes, _ = sample_images(loaded.built, loaded.params, loaded.opt_state, SAMPLES, seed=100)
    reals = random_images(loaded.source, REFERENCE, with_labels=False).images
    return metrics.measure(fakes, reals, "digit_classifier", metrics=("frechet_distance",))[0].value


def same_samples(parent: Any, child: Any, config: Any) -> bool:
    """Whether a GAN with the parent's weights makes the parent's samples, byte for byte, before its first step.

    Args:
        parent: The loaded parent.
        child: The loaded child, for its networks.
        config: The configuration of the child.
    """
    import jax
    import numpy as np

    from gan_jax.trainer.initial_weights import initial_weights

    rng, built = jax.random.key(config.seed), child.built
    initial = initial_weights(config, built)
    assert initial is not None
    begun = initial.apply(built, rng, jax.jit(built.gan.init)(rng))
    images = [np.asarray(built.gan.sample(*state, rng, 16)) for state in ((parent.params, parent.opt_state), begun)]
    return bool((images[0] == images[1]).all())


def finish(config: Any) -> None:
    """Trains a run to its last step. A signal makes `train` end early, and then nothing more is measured."""
    from rich.console import Console

    from gan_jax.trainer.loop import train

    result = train(config, console=Console(quiet=True))
    if result.step != config.steps:
        raise SystemExit(f"stopped: {config.out.name} ended at step {result.step} of {config.steps}")


def measure(model: str, seed: int, place: Path, directory: Path, known: set[tuple[str, int, str]]) -> list[dict[str, Any]]:
    """The rows of a model and a seed that are not known. The parent of a seed is trained when it is needed."""
    from gan_jax.trainer.loaded_run import load_run

    rows = []
    came_from = origin(command_of("experiments.studies.transfer", without=("--out", "--directory")))
    parent = place / f"{model}-{seed}-digits"
    fashion = {"source": "fashion_mnist", "directory": directory, "split": "test"}
    for arm in ARMS:
        if (model, seed, arm) in known:
            continue
        if arm != "nothing" and not parent.exists():
            finish(configuration(model, seed, parent, steps=PARENT_STEPS))
        out, started = place / f"{model}-{seed}-{arm}", time.monotonic()
        freeze = (f"discriminator:{MODELS[model][3]}",) if arm == "frozen" else ()
        init = None if arm == "nothing" else parent
        config = configuration(model, seed, out, steps=STEPS, data=fashion, init_from=init, freeze=freeze)
        finish(config)
        seconds = round(time.monotonic() - started, 1)
        same = arm != "nothing" and same_samples(load_run(parent), load_run(out), config)
        layers = json.loads((out / "run.json").read_text()).get("init_from", {}).get("layers")
        about = {"model": model, "seed": seed, "arm": arm, "steps": STEPS, "parent_steps": PARENT_STEPS, "batch_size": config.batch_size}
        rows.append(
            about
            | came_from
            | {"frozen": list(freeze), "layers": layers, "same_samples": same, "distance": round(distance(out), 3), "seconds": seconds}
        )
        print(rows[-1], flush=True)
    return rows


def page_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/next_run.md: the distance of each model in each way, and whether the first samples are the parent's."""
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = [row for row in rows if row["model"] == model]
        cells = [mean_and_deviation([row["distance"] for row in of_model if row["arm"] == arm], 1) for arm in ARMS]
        begun = [row for row in of_model if row["arm"] != "nothing"]
        equal = f"{sum(row['same_samples'] for row in begun)} of {len(begun)}"
        frozen = next((row["frozen"][0].partition(":")[2] for row in begun if row["frozen"]), "")
        lines.append([f"`{model}`", *cells, f"`{frozen.replace('|', '`, `')}`" if frozen else "", equal])
    return table(["model", *ARMS.values(), "frozen", "first samples are the parent's"], lines)


def main(arguments: list[str] | None = None) -> None:
    flags = parse_flags(Flags, __doc__, arguments, prog="python -m experiments.studies.transfer")
    with errors_as_lines():
        if flags.table:
            print(page_table(read_rows(flags.table)))
            return
        use_compilation_cache()
        known = {(row["model"], row["seed"], row["arm"]) for row in read_rows(flags.out)} if flags.out else set()
        with tempfile.TemporaryDirectory() as place:
            for seed in flags.seeds:
                for model in flags.models:
                    rows = measure(model, seed, Path(place), flags.directory, known)
                    if flags.out:
                        append_rows(flags.out, rows)


if __name__ == "__main__":
    main()
