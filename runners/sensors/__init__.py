"""Sensors: what sees joules. A new one is one module here and one line in `base.SENSORS`."""
