"""Input pipelines: batches on the device, from gan_jax's feed and from PyTorch's loader."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from gan_jax.data import Feed, Source
from gan_jax.data.folder import FolderImages
from gan_jax.data.tree import DirectoryTree
from gan_jax.trainer.environment import cpus_allowed

FILES, SIZE, BATCHES = 2048, 32, 50


def smooth_images() -> np.ndarray:
    """The images of every row, uint8 [n, size, size, 3]. They are smooth, so they compress like photographs."""
    small = np.random.default_rng(0).integers(0, 256, (FILES, 4, 4, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for image in small])


def write_files(folder: Path) -> list[str]:
    """Writes the images as PNG files of twice the training size. Returns their names."""
    names = [f"{number:05d}.png" for number in range(FILES)]
    for name, image in zip(names, smooth_images(), strict=True):
        Image.fromarray(image).resize((2 * SIZE, 2 * SIZE)).save(folder / name)
    return names


def feed_call(kind: str, batch: int) -> Callable[[], None]:
    """Returns a function that puts the next `BATCHES` batches of gan_jax's feed on the device."""
    if kind == "memory":
        images: Any = smooth_images()
    else:
        folder = tempfile.TemporaryDirectory()
        names = write_files(Path(folder.name))
        images = FolderImages(DirectoryTree(Path(folder.name)), names, size=(SIZE, SIZE), channels=3, resize="crop", on_corrupt="stop")
        images.kept = folder  # keeps the files as long as their reader
        if kind == "cached":
            images.store_in(Path(folder.name) / "cache")
            images[:]
    source = Source("benchmark", images, None, 0, "train", "made by the benchmark")
    feed = Feed(source, batch_size=batch, pipeline="memory" if kind == "memory" else "stream")
    take = jax.jit(lambda chunk: feed.gather(chunk)["image"])
    at = [0]

    def call() -> None:
        for _ in range(BATCHES):
            take(feed.chunk(at[0], 1)).block_until_ready()
            at[0] += 1

    return call


def loader_call(kind: str, batch: int) -> Callable[[], None]:
    """The same in PyTorch: random rows of a tensor in memory, or a DataLoader over files with one worker per core."""
    import torch

    if kind == "memory":
        tensor = torch.from_numpy(smooth_images())

        def call() -> None:
            for _ in range(BATCHES):
                tensor[torch.randint(0, FILES, (batch,))].clone()

        return call
    folder = tempfile.TemporaryDirectory()
    names = write_files(Path(folder.name))

    class Files(torch.utils.data.Dataset):
        kept = folder

        def __len__(self) -> int:
            return FILES

        def __getitem__(self, index: int) -> Any:
            with Image.open(Path(folder.name) / names[index]) as image:
                return torch.from_numpy(np.array(image.convert("RGB").resize((SIZE, SIZE))))

    loader = torch.utils.data.DataLoader(Files(), batch, shuffle=True, drop_last=True, num_workers=cpus_allowed(), persistent_workers=True)

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches = forever()

    def call() -> None:
        for _ in range(BATCHES):
            next(batches)

    return call
