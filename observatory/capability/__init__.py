"""Capability: scores with the protocol they were measured under (METHOD §7)."""
