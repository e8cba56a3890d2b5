"""What changes in a derived instance, as data."""
