"""One module a page; `app.py` lists them. A page asks `dashboards.database` and draws.

The folder is not called `pages`: Streamlit would serve its files by themselves, without the frame.
"""
