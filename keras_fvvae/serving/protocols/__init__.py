"""What is spoken: TensorFlow Serving's REST and gRPC."""
