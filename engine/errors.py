"""Errors a user can meet, each with a sentence that names the offending value."""


class VivavoceError(Exception):
    """Base of every error the command line prints as one sentence, without a traceback."""


class ConfigError(VivavoceError):
    """A setting that is unknown or impossible."""


class OverloadError(VivavoceError):
    """No room for another call; the running calls come first."""


class AudioError(VivavoceError):
    """A recording, capture or device that gives no usable audio."""


class ModelError(VivavoceError):
    """A model file that is missing, unreadable or does not fit."""


class StreamError(VivavoceError):
    """Redis cannot be reached or refuses us."""
