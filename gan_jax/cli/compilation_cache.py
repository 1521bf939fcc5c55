"""The cache of compiled programs between runs."""

import jax

from gan_jax._internal.files import cache_folder


def use_compilation_cache(directory: str | None = None) -> None:
    """Keeps compiled programs between runs.

    Args:
        directory: Directory of the cache. None means the user's cache directory. "none" disables the cache.
    """
    folder = cache_folder()
    if directory == "none" or (directory is None and folder is None):
        return
    jax.config.update("jax_compilation_cache_dir", str(directory or folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
