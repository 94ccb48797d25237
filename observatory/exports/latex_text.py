"""Text that LaTeX prints as it is, whatever it holds, with pdflatex and no package."""

from __future__ import annotations

import unicodedata

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "`": r"\`{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # `\\[` and `\\*` at the start of a row mean something
    "×": r"$\times$", "–": "--", "—": "---", "−": "$-$", "·": r"$\cdot$", "•": r"$\bullet$",
    "µ": r"$\mu$", "μ": r"$\mu$", "±": r"$\pm$", "≤": r"$\le$", "≥": r"$\ge$", "≈": r"$\approx$",
    "→": r"$\to$", "⊂": r"$\subset$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$", "₂": "$_2$",
    "∞": r"$\infty$", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''",
}  # fmt: skip
#: letters that OT1 fonts compose, so that pdflatex needs no font encoding
COMPOSED = frozenset("ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿÆŒœŠšŽž")
#: widths of cmr10 in em (Knuth, Computer Modern Typefaces, 1986)
_WIDTHS = {
    0.278: "ijl.,:;'|!][", 0.306: "f", 0.333: " -", 0.361: "I", 0.389: "()t", 0.392: "r",
    0.394: "s", 0.4: "_", 0.444: "cez", 0.472: "?", 0.5: "0123456789ago/*$", 0.514: "J",
    0.528: "kqvxy", 0.556: "bdhnpuS", 0.611: "Z", 0.625: "Lµ", 0.653: "F", 0.681: "EP",
    0.708: "B", 0.722: "CTw", 0.736: "R", 0.75: "AHNUVXY", 0.764: "D", 0.778: "GKOQ<>&#@+=",
    0.833: "m%", 0.917: "M", 1.03: "W", 1.222: "×",
}  # fmt: skip
EM = {c: width for width, characters in _WIDTHS.items() for c in characters}
BREAK_AFTER = frozenset("/_-:,.=+@")
LONG = 14  #: characters without a space after which a line may break anywhere


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is; what no font holds becomes plain letters or `[U+4E2D]`."""
    out = []
    before = ""
    for character in text:
        joined = character == before and character in "-'`"  # a ligature: `--` prints as a dash
        out.append(("{}" if joined else "") + _escaped(character))
        before = character
    return "".join(out)


def breakable(text: str) -> str:
    """The same, where lines may break inside long names, paths and keys."""
    return " ".join(_word(word) for word in text.split())


def _word(word: str) -> str:
    if len(word) <= LONG:
        return escape_latex(word)
    odd = len(word) > 2 * LONG or any(c.isdigit() for c in word)
    out: list[str] = []
    since = 0
    for i, c in enumerate(word, start=1):
        out.append(_escaped(c))
        since += 1
        if i == len(word):
            break
        if c in BREAK_AFTER or (odd and since >= LONG // 2):
            out.append(r"\allowbreak{}")
            since = 0
    return "".join(out)


def width_em(text: str) -> float:
    """How wide a text is in Computer Modern Roman, in em; other letters count as the widest."""
    return sum(EM.get(c, 1.03) for c in text)


def _escaped(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if " " <= character < "\x7f" or character in COMPOSED:
        return character
    if unicodedata.category(character).startswith(("C", "Z")):
        return "" if unicodedata.category(character) == "Cf" else " "
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(SPECIAL.get(c, c) for c in plain) or f"{{[}}U+{ord(character):04X}{{]}}"
