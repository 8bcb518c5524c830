"""A checkpoint becomes files that need no torch: ONNX in float32 and int8, proved against the checkpoint."""
