"""Detects runs that go wrong."""

from .detector import Alarm, HealthDetector, Rule, Thresholds

__all__ = ['Alarm', 'HealthDetector', 'Rule', 'Thresholds']
