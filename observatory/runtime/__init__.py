"""Idealized runtime: what a request costs on given hardware and software, without contention.

`observations` turns measurements into rows of one linear model, `recipes` solve it, `fit` keeps the
answer with its evidence, `predict` asks it. Source of the metric: Narayanan et al., *Cheaply
Evaluating Inference Efficiency Metrics for Autoregressive Transformer APIs* (NeurIPS 2023).
"""
