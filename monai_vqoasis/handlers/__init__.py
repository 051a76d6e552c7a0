"""What happens beside an engine."""

from monai_vqoasis.handlers.anomaly import AnomalyReport
from monai_vqoasis.handlers.checkpoint import TrainingCheckpoint
from monai_vqoasis.handlers.early_stop import EarlyStop
from monai_vqoasis.handlers.interrupt import StopOnInterrupt
from monai_vqoasis.handlers.learning_rate import IterationLrSchedule
from monai_vqoasis.handlers.pictures import ReconstructionPictures, SamplePictures
from monai_vqoasis.handlers.progress import LossProgressBar
from monai_vqoasis.handlers.summary import EpochSummary
from monai_vqoasis.handlers.tensorboard import tensorboard_writer

__all__ = [
    "AnomalyReport",
    "EarlyStop",
    "EpochSummary",
    "IterationLrSchedule",
    "LossProgressBar",
    "ReconstructionPictures",
    "SamplePictures",
    "StopOnInterrupt",
    "TrainingCheckpoint",
    "tensorboard_writer",
]
