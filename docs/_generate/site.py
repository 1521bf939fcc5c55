"""Hooks of mkdocs: pages of the site that are made from the repository, so that nothing is written twice.

    make docs        builds site/ strictly. A broken link, or a public name without a docstring, fails
    make docs-serve  shows the site at http://127.0.0.1:8000 and follows changes

The first page is the README. A notebook becomes a page without its outputs. The reference has one page per module, with the names that
the module exports and their docstrings. The gallery shows the samples of each recipe beside the first line of its docstring.
"""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
# Module -> title of its page. The order is that of the navigation.
REFERENCE = {
    "gan_jax": "gan_jax",
    "gan_jax.losses": "Losses",
    "gan_jax.penalties": "Penalties",
    "gan_jax.transforms": "Transforms of parameters",
    "gan_jax.augment": "Augmentations",
    "gan_jax.optimizers": "Optimisers",
    "gan_jax.optimizers.schedules": "Schedules",
    "gan_jax.latents": "Latents",
    "gan_jax.conditioning": "Conditioning",
    "gan_jax.replay": "Replay",
    "gan_jax.dynamics": "Dynamics",
    "gan_jax.nn": "Layers",
    "gan_jax.models": "Models",
    "gan_jax.gan.update_rules": "Update rules",
    "gan_jax.gan.spec": "The GAN's specification",
    "gan_jax.gan.loss_terms": "Loss terms",
    "gan_jax.distributed": "Devices and hosts",
    "gan_jax.distributed.sweep": "Many runs in one program",
    "gan_jax.metrics": "Metrics",
    "gan_jax.data": "Data",
    "gan_jax.checkpoint": "Checkpoints",
    "gan_jax.monitor": "Monitor",
    "gan_jax.export": "Export",
    "gan_jax.typing": "Types",
}
# Files of the repository outside of docs/ that pages link to, and their pages on the site.
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "gan_jax/data/files/LICENSES.md": "data_licences.md",
    "docs/tutorials": "tutorials/own_images.md",  # A folder has no page.
}


def page_of(module: str) -> str:
    """The path of a module's page of the reference."""
    return f"reference/{module.replace('.', '_')}.md"


def public_names(module: ModuleType) -> list[str]:
    """The names that a module exports: its `__all__`, or else what it defines without an underscore."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if name != "__version__"]
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if not name.startswith("_")]


def documented(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The exported functions and classes of a module, in the order of their names. Those with a page of their own module are left out.

    Raises:
        ValueError: One of them has no docstring.
    """
    for name in sorted(public_names(module), key=str.lower):
        value = getattr(module, name)
        if inspect.ismodule(value) or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__ in REFERENCE and value.__module__ != module.__name__:
            continue
        if not inspect.getdoc(value):
            raise ValueError(f"{module.__name__}.{name} is public and has no docstring")
        yield name, value


def reference_page(name: str) -> str:
    """The page of one module: its docstring, its tables, and each exported function and class."""
    module = importlib.import_module(name)
    text = [f"# {REFERENCE[name]}", f"`{name}`", inspect.getdoc(module) or ""]
    others = [each for each in public_names(module) if isinstance(getattr(module, each), dict)]
    if others:
        text.append("Tables: " + ", ".join(f"`{each}`" for each in others) + ".")
    for _, value in documented(module):
        text.append(f"::: {value.__module__}.{value.__qualname__}")
    return "\n\n".join(text) + "\n"


def gallery() -> str:
    """Samples of each recipe that has a picture, with the first sentence of its docstring."""
    import gan_jax.recipes

    cards = []
    for path in sorted(Path(gan_jax.recipes.__file__).parent.glob("[a-z]*.py")):
        sentence = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for picture in (f"images/recipes/{path.stem}.png", f"images/{path.stem}.png"):
            if (ROOT / "docs" / picture).is_file():
                cards.append(f"-   ![Samples of the recipe {path.stem}]({picture})\n\n    **`{path.stem}`**: {sentence}")
                break
    return "# Recipes in pictures\n\nEach picture is made by the command `gan-jax train NAME`.\n\n" + (
        '<div class="grid cards" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>\n\n[recipes.md](recipes.md) has the figures.\n"
    )


def notebook_page(path: Path) -> str:
    """A notebook as a page: its text, and its code in blocks."""
    cells = json.loads(path.read_text())["cells"]
    blocks = {"markdown": "{}", "code": "```python\n{}\n```"}
    first, *rest = [blocks[cell["cell_type"]].format("".join(cell["source"])) for cell in cells]
    title, _, text = first.partition("\n")
    note = f"This page is the notebook [{path.name}]({path.name}) without its outputs. Open it in a clone of the repository."
    # A link to another notebook leads to its page.
    body = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", "\n\n".join([text.strip(), *rest]))
    return f"{title}\n\n{note}\n\n{body}\n"


def relinked(text: str, folder: str) -> str:
    """A page with its links to files of the repository turned to pages of the site.

    Args:
        text: The Markdown of the page.
        folder: Folder of the page in the repository, relative to its root.
    """

    def replaced(match: re.Match[str]) -> str:
        label, target, anchor = match["label"], match["target"], match["anchor"] or ""
        if "://" in target or target.startswith(("mailto:", "#")) or not target:
            return match[0]
        path = (ROOT / folder / target).resolve()
        if not path.is_relative_to(ROOT):
            return match[0]
        name = path.relative_to(ROOT).as_posix()
        depth = len(Path(folder).relative_to("docs").parts) if folder.startswith("docs") else 0
        if name in MOVED:
            return f"{label}({'../' * depth}{MOVED[name]}{anchor})"
        if name.startswith("docs/"):
            return f"{label}({'../' * depth}{name.removeprefix('docs/')}{anchor})"
        return label.strip("[]") if path.exists() else match[0]  # A file of the repository that the site does not show.

    return re.sub(r"(?P<label>!?\[[^\]]*\])\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)", replaced, text)


def generated_pages() -> dict[str, str]:
    """All pages that are no files of docs/: path -> Markdown."""
    pages = {
        site: relinked((ROOT / path).read_text(), Path(path).parent.as_posix()) for path, site in MOVED.items() if path.endswith(".md")
    }
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = relinked(notebook_page(path), "docs/notebooks")
    return pages | {page_of(name): reference_page(name) for name in REFERENCE} | {"gallery.md": gallery()}


def on_files(files: Any, config: Any) -> Any:
    """Adds the generated pages to the site."""
    from mkdocs.structure.files import File

    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turns the links of a page of docs/ that lead out of it."""
    if page.file.generated_by:
        return markdown
    return relinked(markdown, Path("docs", page.file.src_uri).parent.as_posix())
