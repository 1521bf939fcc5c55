"""The site of the documentation: every page has a place, public names have docstrings, and links leave no page of the site."""

import posixpath
import re
from pathlib import Path

import pytest
import yaml

from docs._generate import site

ROOT = Path(__file__).parents[2]
NAV = (ROOT / "mkdocs.yml").read_text()


def pages_of(entry):
    if isinstance(entry, str):
        return [entry]
    return [page for child in (entry if isinstance(entry, list) else entry.values()) for page in pages_of(child)]


@pytest.fixture(scope="module")
def generated():
    return site.generated_pages()


def test_every_page_has_a_place_in_the_navigation(generated):
    navigation = pages_of(yaml.safe_load(NAV)["nav"])
    files = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(navigation) == sorted([*files, *generated])


def test_links_of_generated_pages_lead_to_pages_or_files(generated):
    known = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*") if path.is_file()} | generated.keys()
    for name, text in generated.items():
        for target in re.findall(r"\]\(([^)#\s*]+)", text):
            if "://" not in target and not target.startswith("mailto:"):
                assert posixpath.normpath((Path(name).parent / target).as_posix()) in known, (name, target)


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        ("[a](docs/losses.md#x)", ".", "[a](losses.md#x)"),
        ("[a](../README.md#run)", "docs", "[a](index.md#run)"),
        ("[a](../../README.md)", "docs/tutorials", "[a](../index.md)"),
        ("![a](images/x.png)", "docs", "![a](images/x.png)"),
        ("[a](../metrics.md)", "docs/tutorials", "[a](../metrics.md)"),
        ("[LICENSE](LICENSE)", ".", "LICENSE"),
        ("[a](https://example.org/x)", "docs", "[a](https://example.org/x)"),
        ("[a](#below)", "docs", "[a](#below)"),
        ("[a](no_such_file.md)", "docs", "[a](no_such_file.md)"),
    ],
)
def test_links(text, folder, expected):
    if "no_such" in text:  # A broken link stays, so that the strict build reports it.
        assert site.relinked(text, folder) == text
    else:
        assert site.relinked(text, folder) == expected


def test_the_reference_has_the_exported_names(generated):
    assert "::: gan_jax.losses.adversarial.hinge_discriminator_loss" in generated["reference/gan_jax_losses.md"]
    assert "::: gan_jax.gan.make.make_gan" in generated["reference/gan_jax.md"]
    assert "::: gan_jax.penalties.gradient.r1_penalty" in generated["reference/gan_jax_penalties.md"]


def test_a_public_name_without_a_docstring_fails(monkeypatch):
    import gan_jax.latents

    def bare():
        pass

    bare.__module__ = "gan_jax.latents"
    monkeypatch.setattr(gan_jax.latents, "bare", bare, raising=False)
    if hasattr(gan_jax.latents, "__all__"):
        monkeypatch.setattr(gan_jax.latents, "__all__", [*gan_jax.latents.__all__, "bare"])
    with pytest.raises(ValueError, match=r"gan_jax\.latents\.bare is public and has no docstring"):
        list(site.documented(gan_jax.latents))
