"""Metrics."""

from .metric import CVTIOIoUMetric
from .predictions import CVTIOPredictions

__all__ = ['CVTIOIoUMetric', 'CVTIOPredictions']
