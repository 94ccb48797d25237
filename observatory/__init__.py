"""Inference Observatory: the store and the science.

This package touches numbers and the database. It never imports `runners` (which touch hardware),
`dashboards` (which touch widgets), torch, transformers, streamlit or pynvml.
"""

__version__ = "0.1.0"
