"""Everything that touches hardware: sensors, backends, the measuring protocol, `run-benchmark`."""
