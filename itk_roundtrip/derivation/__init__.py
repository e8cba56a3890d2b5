"""The edits that make a derived instance of its source, as data, and its UIDs."""
