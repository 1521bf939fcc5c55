"""Exact, verified resume: every byte that is restored is a byte that was saved, or the step before is used and the damage named.

One directory per step: a safetensors file for each process and one JSON manifest with the sha256 of every leaf, of every file header
and of itself. Why not Orbax: in the versions this was written against (0.12) a flipped byte is restored silently, and a step that was
being deleted when the process died is still listed. What is needed here is small, so it is written out, in a format that any
safetensors reader opens without this package.

    keeper = Checkpointer(run / "checkpoints", config=config, keep=3)
    keeper.save(step, (params, opt_state), {"seed": 0, "data_position": step})
    (params, opt_state), metadata = keeper.restore(gan.init(rng))

`leaves` turns a tree into host arrays and back, `files` is the format on disk, `configuration` the hash and the comparison of
configurations, `keeper` the life of a directory of steps. Nothing is ever unpickled.
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
