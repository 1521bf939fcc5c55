"""Image files in a directory tree or a zip archive as a data set.

Files that cannot be read are skipped, counted and named, or they stop the run.
"""

import collections
import concurrent.futures
import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data import arrays
from gan_jax.data.decode import ending_of, endings, read_header
from gan_jax.data.errors import DataError, DataWarning
from gan_jax.data.file_images import FolderImages, HalfOfPairs, PairedImages
from gan_jax.data.images import check_channels, check_image_size, check_resize, height_width
from gan_jax.data.inspect_files import HEADERS, choose_channels, choose_levels, notices_of_sizes, read_some
from gan_jax.data.labels import read_labels
from gan_jax.data.layout import Layout, lay_out, natural, some
from gan_jax.data.pairs import Pairing, check_direction, half_headers, lay_out_domains, lay_out_pairs, side_by_side
from gan_jax.data.source import Source, choose_split
from gan_jax.data.summary import FileFacts
from gan_jax.data.tree import Listing, Tree, tree_of

MEMORY_SIZE = 2**30  # If all images take at most this many bytes, they are decoded once and kept in memory.


def decode_all(images: FolderImages) -> tuple[Any, list[int], tuple[str, ...]]:
    """Decodes every file into memory, if the images take at most 1 GiB.

    Returns:
        The readable images, uint8 [n, height, width, channels], the indices of their files, and the reasons why the other files could
        not be read. If the images take more than 1 GiB, `images` itself is returned with all indices and no reasons.

    Raises:
        DataError: If no file can be read, or if one cannot be read and `on_corrupt` is "stop".
    """
    if np.prod(images.shape, dtype=np.int64) > MEMORY_SIZE:
        return images, list(range(len(images))), ()
    decoded, kept = np.empty(images.shape, np.uint8), list[int]()
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for index, result in enumerate(threads.map(images.try_read, range(len(images)))):
            if not isinstance(result, DataError):
                decoded[len(kept)] = result
                kept.append(index)
            elif images.on_corrupt == "stop":
                threads.shutdown(cancel_futures=True)
                raise result
    problems = tuple(images.problems[name] for name in images.names if name in images.problems)
    if not kept:
        raise DataError(f"{images.tree.root}: none of the {len(images)} files can be read, e.g. {problems[0]}")
    if problems:
        named = "; ".join(problems[:3]) + ("; ..." if len(problems) > 3 else "")
        warnings.warn(f"skipped {len(problems)} of {len(images)} files: {named}", DataWarning, stacklevel=2)
    return decoded[: len(kept)], kept, problems


def check_place(data_dir: Path | None) -> Path:
    """Returns the directory or zip archive of the images.

    Raises:
        DataError: There is none.
    """
    if data_dir is None:
        raise DataError("image_folder needs the directory of the images, a zip archive, or a .npy or .npz file", argument="data_dir")
    if not data_dir.is_dir() and not (data_dir.is_file() and data_dir.suffix.lower() in (".zip", *arrays.ENDINGS)):
        problem = f"{'not a' if data_dir.exists() else 'no such'} directory, zip archive, .npy or .npz file; give that of the images"
        raise DataError(problem, argument="data_dir", value=data_dir)
    return data_dir


def lay_out_tree(tree: Tree) -> Layout:
    """The layout of a tree, with the labels of a file in it if there is one.

    Raises:
        DataError: If the tree cannot be listed, holds no images, or has labels that cannot be read.
    """
    listing = tree.listing()
    labelled = read_labels(tree, listing)
    labels, used = labelled or (None, [])
    layout = lay_out(Listing(tuple(name for name in listing.files if name not in used), listing.folders), labels, some(used))
    if not any(layout.parts.values()):
        named = some((f"{number} {ending}" for ending, number in layout.ignored.items()), 6)
        read = f".png, .jpg, .webp, .tif and {len(endings()) - 4} other endings"
        problem = f"holds no images that can be used ({read}); it holds {named or 'no files'}"
        raise DataError(problem, argument="data_dir", value=tree.root)
    return layout


def decode_part(
    tree: Tree, layout: Layout, chosen: list[str], *, pairing: Pairing | None, cache: Path | None, **options: Any
) -> tuple[Any, Any, np.ndarray | None, tuple[str, ...]]:
    """Reads the chosen files of a tree, see `decode_all`.

    Returns:
        The images, the inputs of pairs or None, the labels or None, and the reasons why files could not be read.
    """
    of_files = [layout.classes.get(file, "") for file in chosen]
    inputs: Any = None
    if pairing is None:
        images, kept, skipped = decode_all(FolderImages(tree, chosen, of_files, **options).store_in(cache))
    else:
        partners = [pairing.partners[name] for name in chosen] if pairing.partners else []
        pairs, kept, skipped = decode_all(PairedImages(tree, chosen, partners, of_files, swap=pairing.swap, **options).store_in(cache))
        if isinstance(pairs, PairedImages):
            inputs, images = HalfOfPairs(pairs, target=False), HalfOfPairs(pairs, target=True)
        else:
            inputs, images = (np.ascontiguousarray(half) for half in np.split(pairs, 2, axis=-1))
    labels = None
    if layout.class_names:
        labels = np.array([layout.class_names.index(of_files[index]) for index in kept], np.int32)
    return images, inputs, labels, skipped


def source_of_files(
    name: str,
    tree: Tree,
    layout: Layout,
    split: str,
    provenance: str,
    *,
    image_size: int | tuple[int, int],
    channels: int | None,
    resize: str,
    on_corrupt: str,
    pairing: Pairing | None = None,
    cache: Path | None = None,
) -> Source:
    """Makes a source of the files of a tree.

    Args:
        name: Name of the source.
        tree: The files.
        layout: Which of them are used, and as what.
        split: "train", "test" or "all".
        provenance: Origin of the data, in one line.
        image_size, channels, resize, on_corrupt, cache: See `load_image_folder`.
        pairing: How the files are pairs of images, or None.

    Raises:
        DataError: The split has no images, the images of a pair have different sizes, or a file cannot be read and `on_corrupt` is "stop".
    """
    if on_corrupt not in ("skip", "stop"):
        raise DataError("must be skip or stop", argument="on_corrupt", value=on_corrupt)
    if not layout.parts["train" if split == "all" else split]:
        split_of = "test" if split == "train" else "train"
        raise DataError(f"{provenance} has no images for it; all are in {split_of}", argument="split", value=split)
    used = layout.parts["train"] + layout.parts["test"]
    headers = read_some(tree, sorted(used if pairing is None else [*used, *pairing.files]), HEADERS, read_header)
    if pairing is not None:
        headers = half_headers(tree, headers, pairing)
    size, seen = height_width(image_size), list(headers.values())
    channels, channels_by, of_channels = choose_channels(seen, channels)
    levels, of_levels = choose_levels(tree, headers)
    options: dict[str, Any] = {"size": size, "channels": channels, "resize": resize, "on_corrupt": on_corrupt, "levels": levels}
    files = FileFacts(
        found=layout.found,
        ignored=layout.ignored,
        left_out={reason: len(names) for reason, names in layout.left_out.items()},
        sizes=dict(collections.Counter(f"{header.width}x{header.height}" for header in seen).most_common(20)),
        sizes_of=len(seen),
        channels_by=channels_by,
        classes_by=layout.classes_by,
        held_out_by=layout.held_out_by,
        notices=(*layout.notices, *of_channels, *of_levels, *notices_of_sizes(seen, size, resize)),
        pairs_by=pairing.by if pairing else "",
    )

    def part_of(part: str, chosen: list[str], held_out: Source | None) -> Source:
        images, inputs, labels, skipped = decode_part(tree, layout, chosen, pairing=pairing, cache=cache, **options)
        return Source(
            name,
            images,
            labels,
            len(layout.class_names),
            part,
            provenance,
            held_out,
            class_names=layout.class_names,
            skipped=skipped,
            files=files,
            inputs=inputs,
        )

    if split == "all":
        return part_of("all", sorted(layout.parts["train"] + layout.parts["test"]), None)
    other = "test" if split == "train" else "train"
    held_out = part_of(other, layout.parts[other], None) if layout.parts[other] else None
    return part_of(split, layout.parts[split], held_out)


def read_images(
    place: Path, shape: tuple[int, ...], *, resize: str = "crop", most: int | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Reads all images of a tree or zip archive, whatever its folders are.

    Args:
        place: The directory or archive.
        shape: (height, width, channels) of each image.
        resize: "crop", "pad" or "stretch".
        most: Read only the first images in the order of their names. None: all.

    Returns:
        The names of the files without their endings, with "_" instead of "/" and a number if another file has the name, and the images,
        uint8 [n, *shape].

    Raises:
        DataError: There are no images, or one cannot be read.
    """
    if not place.is_dir() and place.suffix.lower() != ".zip":
        raise DataError(f"{place}: no such directory or zip archive of images")
    tree = tree_of(place)
    files = sorted((name for name in tree.listing().files if ending_of(name) in endings()), key=natural)[:most]
    if not files:
        raise DataError(f"{place}: holds no images that can be read")
    levels, _ = choose_levels(tree, read_some(tree, files, HEADERS, read_header))
    images = FolderImages(tree, files, size=shape[:2], channels=shape[2], resize=resize, on_corrupt="stop", levels=levels)
    names = list[str]()
    for file in files:
        stem = name = file.rpartition(".")[0].replace("/", "_")
        number = 2
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    return tuple(names), images[:]


def source_of_domains(tree: Tree, direction: str, split: str, provenance: str, *, channels: int | None, **options: Any) -> Source:
    """Makes a source of two domains without pairs, in folders A and B. Both have the channels of the one with more.

    Args:
        tree: The files.
        direction: "A-to-B" or "B-to-A". The first is the domain of the inputs, the second that of the images.
        split, provenance, channels, options: See `source_of_files`.

    Raises:
        DataError: A domain has no images, or as `source_of_files`.
    """
    layouts = lay_out_domains(tree)

    def load(letter: str, channels: int | None) -> Source:
        return source_of_files("image_folder", tree, layouts[letter], split, provenance, channels=channels, **options)

    sources = {letter: load(letter, channels) for letter in "AB"}
    most = max(source.shape[2] for source in sources.values())
    sources = {letter: source if source.shape[2] == most else load(letter, most) for letter, source in sources.items()}
    inputs, images = sources[direction[0]], sources[direction[-1]]
    both = [inputs.files, images.files]
    sizes = sum((collections.Counter(facts.sizes) for facts in both), collections.Counter())
    files = dataclasses.replace(
        sources["B"].files,
        found=sum(facts.found for facts in both),
        sizes=dict(sizes.most_common(20)),
        sizes_of=sum(facts.sizes_of for facts in both),
        channels_by=images.files.channels_by if images.files.channels_by == inputs.files.channels_by else "the domain with more channels",
        held_out_by=images.files.held_out_by,
        notices=tuple(dict.fromkeys(notice for facts in (sources["A"].files, sources["B"].files) for notice in facts.notices)),
        pairs_by=f"none: {len(inputs)} images of {direction[0]} are the inputs, {len(images)} images of {direction[-1]} the targets",
    )

    def joined(images: Source, inputs: Source, held_out: Source | None) -> Source:
        skipped = (*inputs.skipped, *images.skipped)
        return dataclasses.replace(images, inputs=inputs.images, paired=False, skipped=skipped, files=files, held_out=held_out)

    # A domain of fewer than ten images has none to hold out. Its images are then also translated for the metrics.
    held_out = None if images.held_out is None else joined(images.held_out, inputs.held_out or inputs, None)
    return joined(images, inputs, held_out)


def load_image_folder(
    *,
    data_dir: Path | None = None,
    split: str = "train",
    image_size: int | tuple[int, int] = 32,
    channels: int | None = None,
    resize: str = "crop",
    on_corrupt: str = "skip",
    pairs: str | None = None,
    direction: str = "A-to-B",
    cache: Path | None = None,
) -> Source:
    """Loads the image files of a directory tree or a zip archive, or the arrays of a NumPy file. The names of folders are the classes.

    See `gan_jax.data.layout.lay_out` for the split and the classes, and `gan_jax.data.labels.read_labels` for a file with labels. What was
    decided is in `gan_jax.data.summarize(source)`.

    Args:
        data_dir: Root of the tree, a zip archive, or a .npy or .npz file, see `gan_jax.data.arrays.load_arrays`.
        split: "train", "test" or "all". If the tree has folders train and test, they are the split. Otherwise every tenth file belongs to
            test.
        image_size: Side of the images in pixels, or (height, width).
        channels: 1, 3 or 4. By default 1 if all files are grey, otherwise 3.
        resize: "crop" scales the image until it covers the size and keeps the centre. "pad" scales it until it fits and pads with black.
            "stretch" scales both sides.
        on_corrupt: "skip" leaves out files that cannot be read, with a warning that names them. "stop" raises an error.
        pairs: For image-to-image translation. "side-by-side": each file holds image A on the left and image B on the right. "folders":
            A and B are files of equal names, see `gan_jax.data.pairs.lay_out_pairs`. "unpaired": the files of A and B are two domains
            without pairs. None: single images.
        direction: "A-to-B": A is the input and B the target. "B-to-A": the other way round.
        cache: Folder where decoded and resized images are stored, so that each file is decoded once, see `gan_jax.data.decoded_cache`. The
            images are the same with and without it. None stores nothing.

    Returns:
        A `Source`. If all images take at most 1 GiB, they are decoded at once, without the skipped files. Otherwise they are read as
        needed. There are no labels if the files are in no folders.

    Raises:
        DataError: If the directory does not exist, holds no images or no readable ones, or holds an unreadable one and `on_corrupt` is
            "stop". Also if an option has an unknown value, or if there are no pairs.
    """
    place = check_place(data_dir)
    check_direction(pairs, direction)
    check_image_size(image_size)
    check_channels(channels)
    choose_split("image_folder", split, ("train", "test", "all"))
    check_resize(resize)
    if place.suffix.lower() in arrays.ENDINGS:
        if pairs is not None:
            raise DataError(f"needs a directory or a zip archive; got {place}", argument="pairs", value=pairs)
        return arrays.load_arrays(place, split=split, image_size=image_size, channels=channels, resize=resize)
    tree = tree_of(place)
    options: dict[str, Any] = {"image_size": image_size, "channels": channels, "resize": resize, "on_corrupt": on_corrupt, "cache": cache}
    if pairs == "unpaired":
        return source_of_domains(tree, direction, split, str(place), **options)
    if pairs == "folders":
        layout, pairing = lay_out_pairs(tree, direction)
        return source_of_files("image_folder", tree, layout, split, str(place), pairing=pairing, **options)
    pairing = side_by_side(direction) if pairs else None
    return source_of_files("image_folder", tree, lay_out_tree(tree), split, str(place), pairing=pairing, **options)
