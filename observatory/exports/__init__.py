"""Exports: what `answers` says, as files that other programs read. The same numbers as the page."""
