from .files import LandscapeFiles as LandscapeFiles
from .files import write_landscape as write_landscape
from .scene import CLASSES as CLASSES
from .scene import Landscape as Landscape
from .scene import make_landscape as make_landscape
