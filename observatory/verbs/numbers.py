"""Numbers on the command line: finite, and inside the range that their option has.

`float` reads `nan` and `inf`, which no store, no JSON and no bill can hold, and `int` any number of
digits. Every numeric option of both programs has one of these types. What is wrong is said in one
line that begins with the flag.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import click

from observatory.verbs.tables import shortened

#: Prompt, output, context and batch sizes above this are typing errors, not workloads.
LARGEST_SIZE = 10_000_000
LARGEST_SEED = 2**63 - 1  #: what a store can keep


class Number(click.types.FloatParamType):
    """A finite number; at `least`, at `most`, or `above` a bound that is no value itself."""

    def __init__(
        self, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
    ) -> None:
        self.least, self.most, self.above = least, most, above

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The float. Raises click.UsageError."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            refuse(param, value, "give a finite number")
        if not self.least <= number <= self.most or not number > self.above:
            refuse(param, value, f"must be {self._range()}")
        return number

    def _range(self) -> str:
        low = f"above {self.above:g}" if math.isfinite(self.above) else f"{self.least:g} or more"
        if not math.isfinite(self.most):
            return low
        if math.isfinite(self.least):
            return f"between {self.least:g} and {self.most:g}"
        return f"{low} and at most {self.most:g}"


class NumberOrCatalog(Number):
    """A price as a number, or the word `catalog` for the shipped one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or `catalog`. Raises click.UsageError."""
        if value == "catalog":
            return "catalog"
        try:
            float(value)
        except ValueError:
            refuse(param, value, "neither a number nor `catalog`")
        return super().convert(value, param, ctx)


class Whole(click.types.IntParamType):
    """A whole number from `least` to `most`."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises click.UsageError."""
        number = int(super().convert(value, param, ctx))
        if number < self.least:
            refuse(param, value, f"must be {self.least} or more")
        if number > self.most:
            refuse(param, value, f"must be {self.most} or less")
        return number


NUMBER = Number()
AMOUNT = Number(least=0)
POSITIVE = Number(above=0)
SHARE = Number(least=0, most=1)
PRICE = NumberOrCatalog(least=0)
PART = Number(above=0, most=1)  #: a share that may not be nothing
SIZE = Whole(1, LARGEST_SIZE)
SECONDS = Number(above=0, most=LARGEST_SIZE)
SEED = Whole(0, LARGEST_SEED)
ANY_WHOLE = Whole(-LARGEST_SEED, LARGEST_SEED)


def refuse(param: click.Parameter | None, value: object, what: str) -> NoReturn:
    """Raise click.UsageError: the flag, the value as it was typed, what is wrong."""
    flag = param.opts[0] if param is not None else "number"
    raise click.UsageError(f"{flag} {shortened(str(value), 40)}: {what}")
