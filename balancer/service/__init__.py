"""The running service: builds a snapshot out of a configuration, swaps it in, drains, answers the admin API."""
