"""A folder for the Hugging Face Hub: the weights of a generator, its configuration, samples, and a model card with the run's facts."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import gan_jax
from gan_jax._internal.files import read_bytes, write_text
from gan_jax.export.generator import describe_config, load_generator
from gan_jax.export.hub import CARD, CONFIG, WEIGHTS
from gan_jax.trainer import image_grid
from gan_jax.trainer.config import Config, ConfigError
from gan_jax.trainer.report import page, reading, verdict

SAMPLES = "samples.png"
MOST_NAMES = 20  # Names of classes in the card.


def check_folder(folder: Path) -> None:
    """Raises ConfigError if the folder has files already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--hub {folder}: exists already")


def write_hub_folder(
    folder: Path, weights: Path, directory: Path, config: Config, *, step: int, samples: np.ndarray | None, license_name: str | None = None
) -> None:
    """Writes generator.safetensors, config.json, README.md (the model card) and samples.png.

    Args:
        folder: The folder, which is made. Its name is the title of the card.
        weights: The file of `save_generator`.
        directory: Directory of the run.
        config: Configuration of the run.
        step: Step of the checkpoint.
        samples: uint8 grid of samples, or None.
        license_name: Identifier of the licence of the weights, e.g. "cc-by-4.0".

    Raises:
        ConfigError: The folder has files already.
    """
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(read_bytes(weights))
    generator = load_generator(folder)
    described = {"library_name": "gan_jax", "library_version": gan_jax.__version__} | describe_config(generator.config)
    write_text(folder / CONFIG, json.dumps(described, indent=2) + "\n")
    if samples is not None:
        image_grid.save_png(folder / SAMPLES, samples)
    run = reading.read_run(directory)
    card = model_card(run, config, folder.name, step=step, has_samples=samples is not None, license_name=license_name)
    write_text(folder / CARD, card)


def model_card(run: reading.Run, config: Config, name: str, *, step: int, has_samples: bool, license_name: str | None = None) -> str:
    """The model card as Markdown, with the metadata of the Hub at its beginning. It has no paths of this machine.

    Args:
        run: The run directory, as the report reads it.
        config: Configuration of the run.
        name: Title of the card.
        step: Step of the checkpoint.
        has_samples: Whether the folder has samples.png.
        license_name: Identifier of the licence of the weights.
    """
    data = run.record.get("data")
    data = data if isinstance(data, dict) else {}
    shape = "x".join(map(str, data["shape"])) if isinstance(data.get("shape"), list) else "unknown size"
    translates = config.model.name in ("pix2pix", "cyclegan", "inpaint", "stacked")
    metadata = {
        "library_name": "gan_jax",
        "pipeline_tag": "image-to-image" if translates else "unconditional-image-generation",
        "tags": ["gan", "jax", config.model.name],
    } | ({"license": license_name} if license_name else {})
    context = ", context=context" if translates else ""
    lines = [
        "---",
        # JSON is YAML, and the values are quoted.
        *(f"{key}: {json.dumps(value)}" for key, value in metadata.items()),
        "---",
        "",
        f"# {name}",
        "",
        f"The generator of a GAN (`{config.model.name}`) for images of {shape}, trained with gan_jax {gan_jax.__version__}.",
        *(["", "![samples](samples.png)", "", "These samples were not selected: they have the seed 0."] if has_samples else []),
        "",
        "## Use",
        "",
        "```python",
        "import gan_jax",
        "",
        f'generator = gan_jax.load_generator("hf://USER/{name}")  # or the path of this folder',
        f"images = generator.sample(0, 16{context})  # float [16, height, width, channels] in [-1, 1]",
        "```",
        "",
        "## Data",
        "",
        *_table(("", ""), _data_rows(data, config)),
        "",
        "## Training",
        "",
        *_table(("", ""), _training_rows(run, config, step)),
        "",
        "## Figures",
        "",
        *_figures(run),
        "",
        "## Licence",
        "",
        f"The weights are published under the licence `{license_name}`."
        if license_name
        else "No licence was named for these weights. Ask their owner before you use them.",
        "The licence of the training data may restrict their use, too.",
        "",
    ]
    return "\n".join(lines)


def _data_rows(data: dict[str, Any], config: Config) -> list[tuple[str, Any]]:
    provenance = str(data.get("provenance", ""))
    if config.data.directory is not None:
        provenance = provenance.replace(str(config.data.directory), config.data.directory.name)
    known = [
        ("Data set", data.get("source", config.data.source)),
        ("Split", data.get("split", config.data.split)),
        ("Images", data.get("examples")),
        ("Classes", f"{data['num_classes']}{_names(data)}" if data.get("num_classes") else None),
        ("Origin", provenance or None),
        ("Fingerprint", data.get("fingerprint")),
    ]
    return [(name, value) for name, value in known if value is not None]


def _names(data: dict[str, Any]) -> str:
    """The first names of the classes in brackets, or an empty string."""
    names = data.get("class_names")
    if not isinstance(names, list) or not names:
        return ""
    return f" ({', '.join(map(str, names[:MOST_NAMES]))}{', ...' if len(names) > MOST_NAMES else ''})"


def _training_rows(run: reading.Run, config: Config, step: int) -> list[tuple[str, Any]]:
    versions = run.record.get("versions")
    known = [
        ("Recipe", run.record.get("recipe") or config.recipe),
        ("Loss", config.loss.name),
        ("Update rule", config.update.name),
        ("Batch size", config.batch_size),
        ("Step of the weights", f"{step:,}"),
        ("Seed", config.seed),
        ("Time", page.duration(run.seconds) if run.seconds is not None else None),
        ("Device", run.record.get("device")),
        ("Versions", ", ".join(f"{key} {value}" for key, value in versions.items()) if isinstance(versions, dict) else None),
        ("Verdict of the monitor", verdict.judge(run).headline),
    ]
    return [(name, value) for name, value in known if value not in (None, "")]


def _figures(run: reading.Run) -> list[str]:
    if not run.metrics:
        return ["This generator was not measured."]
    common = page.common_protocol(run.metrics)
    rows = [(metric, value, real, protocol) for metric, value, real, _, protocol in page.metric_rows(run.metrics, without=common)]
    shared = [f"Of every figure: {', '.join(common.values())}.", ""] if common else []
    return shared + _table(("metric", "samples", "held-out real images", "protocol"), rows)


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"

    header = list(header)
    return [line(header), "|" + "---|" * len(header), *(line(row) for row in rows)]
