"""Checkpoints that are restored exactly. If one is damaged, the damage is reported and the previous one is used.

A checkpoint is one directory per step. It has a safetensors file for each process and one JSON manifest with the sha256 of every leaf, of
every file header and of itself. Any safetensors reader opens the arrays without this package. Nothing is unpickled.

    manager = Checkpointer(run / "checkpoints", config=config, keep=3)
    manager.save(step, (params, opt_state), {"seed": 0, "data_position": step})
    (params, opt_state), metadata = manager.restore(gan.init(rng))

`serialization` converts a tree to host arrays and back. `files` writes and reads the format. `fingerprint` hashes and compares
configurations. `manager` manages the directory of a run.

Orbax (0.12) restores flipped bytes silently, and lists a step that was being deleted when the process died.
"""

from gan_jax.checkpoint.errors import CheckpointNotFound, CheckpointWarning, ConfigurationMismatch, DamagedCheckpoint, TemplateMismatch
from gan_jax.checkpoint.files import Contents, read_manifest, read_step, write_step
from gan_jax.checkpoint.fingerprint import config_differences, config_hash
from gan_jax.checkpoint.manager import Checkpointer
from gan_jax.checkpoint.serialization import Snapshot, restore_onto, snapshot

__all__ = [
    "CheckpointNotFound",
    "CheckpointWarning",
    "Checkpointer",
    "ConfigurationMismatch",
    "Contents",
    "DamagedCheckpoint",
    "Snapshot",
    "TemplateMismatch",
    "config_differences",
    "config_hash",
    "read_manifest",
    "read_step",
    "restore_onto",
    "snapshot",
    "write_step",
]
