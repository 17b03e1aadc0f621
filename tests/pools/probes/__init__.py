"""Tests of the active health probes."""
