"""Where measured processes run: on this machine, later on a cluster."""
