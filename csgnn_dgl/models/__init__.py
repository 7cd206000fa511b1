"""Networks: the encoder, the classifier, the density-of-states model."""

from csgnn_dgl.models.classifier import Classifier, ClassifierConfig
from csgnn_dgl.models.dos import AtomEncoder, AtomEncoderConfig, DOSConfig, DOSModel
from csgnn_dgl.models.encoder import CSGNN, EncoderConfig
from csgnn_dgl.models.species import SpeciesEmbedding, element_properties

__all__ = [
    "CSGNN",
    "AtomEncoder",
    "AtomEncoderConfig",
    "Classifier",
    "ClassifierConfig",
    "DOSConfig",
    "DOSModel",
    "EncoderConfig",
    "SpeciesEmbedding",
    "element_properties",
]
