"""Metrics."""

from .metric import CVTIOIoUMetric

__all__ = ['CVTIOIoUMetric']
