"""ONNX export, and runtimes for the exported graph."""
