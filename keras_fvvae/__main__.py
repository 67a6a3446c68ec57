"""`python -m keras_fvvae`: the command line."""

from keras_fvvae.tools.main import main

if __name__ == "__main__":
    main()
