"""Tests of the PROXY protocol's headers."""
