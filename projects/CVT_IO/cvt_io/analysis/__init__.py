"""What is measured of models and runs: counts, speed, curves, the notes' figures."""
