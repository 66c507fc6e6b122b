"""geounet: turn satellite and aerial rasters into maps."""

from importlib.metadata import version

__version__ = version("geounet")
