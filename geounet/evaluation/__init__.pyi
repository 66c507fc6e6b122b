from .comparison import Evaluation as Evaluation
from .comparison import SceneEvaluation as SceneEvaluation
from .comparison import evaluate as evaluate
from .confusion import ConfusionMatrix as ConfusionMatrix
from .metrics import ClassMetrics as ClassMetrics
from .metrics import Metrics as Metrics
from .options import EvaluateOptions as EvaluateOptions
