"""geounet: turn satellite and aerial rasters into maps.

The functions are those of the command line, with the same names and defaults.
"""

import lazy_loader as lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
