"""Errors that a user can cause: the command line prints one line and no traceback."""


class UserError(Exception):
    """An error that the user can correct: the message is one line and says what to change.

    Lists are added as notes (`add_note`); the command line prints each on its own line.

    Attributes:
        exit_code: the exit status of the command line when this error ends it.

    Example:
        >>> str(UserError("data.txt:3: invalid UTF-8; convert the file or set on_error = 'skip'"))
        "data.txt:3: invalid UTF-8; convert the file or set on_error = 'skip'"
    """

    exit_code = 1


class ConfigError(UserError):
    """A wrong flag, gin file or binding, found before any data or device is touched."""

    exit_code = 2


class LayerError(ConfigError, ValueError):
    """A size that does not fit a layer, found while the model is built."""

    # Without this attribute Keras appends the arguments of every enclosing call to the message.
    _keras_call_info_injected = True

    def __init__(self, message: str) -> None:
        # Keras re-raises errors of symbolic calls inside a longer message.
        super().__init__(message.rpartition("Error encountered:")[2].strip())
