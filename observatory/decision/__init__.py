"""Decisions on cost and quality: plain tables in, plain tables out (METHOD §7).

Cost is what one wants less of (s, J, $, gCO2e, L per request of a stated workload), quality what
one wants more of. Nothing here knows models, lanes or the store.
"""
