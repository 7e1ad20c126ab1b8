"""Turn native models into ONNX, and prove that they answer the same."""
