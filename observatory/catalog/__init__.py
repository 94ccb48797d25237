"""The catalogue: model architectures, machines and prices, each row with its source.

`architecture` counts parameters, FLOPs and bytes from a `config.json` or a catalogue name;
`hardware` knows peaks, bandwidth and capacity of accelerators. Pure Python, no torch.
"""
