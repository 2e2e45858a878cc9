"""CVT-IO for MMDetection3D."""
