"""Tests of the balancing algorithms."""
