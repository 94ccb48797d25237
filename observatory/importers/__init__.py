"""Readers of other tools' result files: `sniff(path)`, then `read(path)`; see `registry`."""
