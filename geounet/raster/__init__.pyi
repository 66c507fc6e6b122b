from .grid import Bounds as Bounds
from .grid import Grid as Grid
from .grid import geod_of as geod_of
from .grid import pixel_grid as pixel_grid
from .window import Window as Window
from .window import mirror_indices as mirror_indices
