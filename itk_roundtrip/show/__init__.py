"""Results as tables, JSON, and the HTML page with its figures."""
