"""Servers that fail on command, load at a steady rate, and peers that are told the same policy: see ``bench/failing.py``."""
