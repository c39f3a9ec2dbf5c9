"""Configuration: gin files scanned without executing them, checked, parsed, explained, compared."""

from lm.config.parse import Config, config_str, load, loaded, operative_config_str

__all__ = ["Config", "config_str", "load", "loaded", "operative_config_str"]
