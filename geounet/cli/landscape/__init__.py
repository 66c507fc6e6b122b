"""A procedural landscape, seen from the air, for the demo and for trying things out."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
