"""The store: tables, migrations, views, one writer, one reader. It knows records and no science."""
