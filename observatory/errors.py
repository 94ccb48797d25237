"""Errors that a person meets: one line that says what is wrong, with which value, and what to do.

A command-line entry point catches `ObservatoryError`, prints its message on one line of standard
error and exits with `exit_code`. A traceback is for bugs.

Exit codes: 0 done; 1 done with failures (all of them in the store); 2 wrong usage or unreadable
input, nothing changed; 3 a required sensor or endpoint is missing; 130 interrupted, resumable.
"""

from __future__ import annotations


class ObservatoryError(Exception):
    """Base of every error whose message is meant for a person."""

    exit_code = 2


class InputError(ObservatoryError):
    """A value, a file or a name that cannot be used. Nothing was changed."""


class UnknownNameError(InputError):
    """A name that is not in a catalogue; the message lists near matches."""

    def __init__(self, kind: str, name: str, known: list[str], hint: str = "") -> None:
        import difflib

        near = difflib.get_close_matches(name, list(dict.fromkeys(known)), n=3, cutoff=0.55)
        advice = f"did you mean {', '.join(near)}?" if near else hint
        super().__init__(f"unknown {kind} {name!r}" + (f": {advice}" if advice else ""))
        self.kind, self.name, self.near = kind, name, near


class DatabaseError(ObservatoryError):
    """A database that cannot be opened, is not ours, or has a newer schema."""


class MissingSensorError(ObservatoryError):
    """A sensor or endpoint that the caller required is not there."""

    exit_code = 3
