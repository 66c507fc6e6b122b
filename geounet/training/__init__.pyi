from .options import TrainOptions as TrainOptions
from .options import count_epoch_chips as count_epoch_chips
from .train import TrainSummary as TrainSummary
from .train import train as train
