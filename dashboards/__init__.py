"""The Streamlit dashboard. It asks `observatory.answers` and opens the database read-only."""
