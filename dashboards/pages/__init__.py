"""One module a page; `app.py` lists them. A page asks `dashboards.database` and draws."""
