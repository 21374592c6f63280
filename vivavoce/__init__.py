"""The front door: the command line, and the composition root, the only place that imports every floor."""

__version__ = "0.1.0"
