"""Drawing of samples and predictions."""

from .hook import CVTIOVisualizationHook

__all__ = ['CVTIOVisualizationHook']
