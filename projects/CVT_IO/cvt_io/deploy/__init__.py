"""From a trained model to an ONNX graph, and what runs it."""
