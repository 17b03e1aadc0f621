"""Filters may change or refuse an exchange: the chain that runs them, and one file a filter."""
