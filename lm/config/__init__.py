"""Configuration: scanning gin files without executing them, checking, parsing, explaining."""

from lm.config.parse import Config, config_str, load, loaded, operative_config_str

__all__ = ["Config", "config_str", "load", "loaded", "operative_config_str"]
