from .evaluation import evaluate as evaluate
from .inference import predict as predict
from .models import load_model as load_model
from .training import train as train
from .vector import polygonize as polygonize
from .vector import rasterize as rasterize

__version__: str
