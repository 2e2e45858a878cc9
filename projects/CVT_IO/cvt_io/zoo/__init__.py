"""The model zoo: catalogue, download, verification, publication, and conversion of original checkpoints."""
