"""The verbs of `observatory`: one module a verb, each exposing a click command named `command`.

A verb parses, calls `answers`, `ingest` or `exports`, prints, and nothing more. Modules keep heavy
imports (pandas, SQLAlchemy, scipy) inside functions, so that `observatory --help` stays fast. A new
verb is one new file here and one line in `observatory.cli.VERBS`.
"""
