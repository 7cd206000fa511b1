"""The networks: the encoder on a concentric grid, and what is built upon it."""

from csgnn_dgl.models.classifier import Classifier, ClassifierConfig
from csgnn_dgl.models.encoder import CSGNN, EncoderConfig

__all__ = ["CSGNN", "Classifier", "ClassifierConfig", "EncoderConfig"]
