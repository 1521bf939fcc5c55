"""The typed configuration of a run. Every field is a flag. `gan_jax.trainer.build` turns a configuration into functions."""

from gan_jax.trainer.config.devices import DistributedConfig, ParallelConfig
from gan_jax.trainer.config.fields import flag, flatten, replace_field, schema_fields
from gan_jax.trainer.config.io import from_dict, load_config, save_config, to_dict
from gan_jax.trainer.config.schema import CHANGEABLE_ON_RESUME, Config, DataConfig, EvaluationConfig, LogConfig, ModelConfig, MonitorConfig
from gan_jax.trainer.config.train_step import (
    AugmentConfig,
    LossConfig,
    OptimizerConfig,
    PenaltyConfig,
    ReplayConfig,
    TransformConfig,
    UpdateConfig,
)
from gan_jax.trainer.config.validate import ConfigError, check

__all__ = [
    "CHANGEABLE_ON_RESUME",
    "AugmentConfig",
    "Config",
    "ConfigError",
    "DataConfig",
    "DistributedConfig",
    "EvaluationConfig",
    "LogConfig",
    "LossConfig",
    "ModelConfig",
    "MonitorConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "PenaltyConfig",
    "ReplayConfig",
    "TransformConfig",
    "UpdateConfig",
    "check",
    "flag",
    "flatten",
    "from_dict",
    "load_config",
    "replace_field",
    "save_config",
    "schema_fields",
    "to_dict",
]
