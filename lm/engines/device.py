"""Properties of the device that the engine uses."""

import keras

_FIRST_WITH_BFLOAT16 = (8, 0)  # NVIDIA's compute capability: Ampere


def is_accelerator() -> bool:
    """Returns whether the engine uses a GPU or a TPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def has_bfloat16_units() -> bool:
    """Returns whether the device has bfloat16 units: TPUs and newer GPUs."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.local_devices()[0]
        text = getattr(device, "compute_capability", None) or "0.0"
        found = tuple(map(int, str(text).split(".")))
        return device.platform == "tpu" or found >= _FIRST_WITH_BFLOAT16
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU") if is_accelerator() else []
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return any(one.get("compute_capability", (0, 0)) >= _FIRST_WITH_BFLOAT16 for one in details)
