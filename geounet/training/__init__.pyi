from .augment.contact_sheet import show_augmentation as show_augmentation
from .options import TrainOptions as TrainOptions
from .options import count_epoch_chips as count_epoch_chips
from .session import TrainSummary as TrainSummary
from .session import train as train
from .team.echo import Echo as Echo
