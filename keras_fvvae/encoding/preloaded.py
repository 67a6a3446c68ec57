"""What the server that encoding processes are forked from imports: without TensorFlow's start-up messages."""

from keras_fvvae.utils.quiet import quiet_stderr

with quiet_stderr():
    import keras_fvvae.encoding.item_encoder  # noqa: F401
