"""Backends: what runs a model. A new one is one module here and one line in `base.BACKENDS`."""
