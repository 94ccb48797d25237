"""Figures: pure functions from a DataFrame to a plotly Figure, the same for page, paper and bundle.

Plotly is an extra (`dashboard`, `figures`): it is imported inside the functions.
"""
