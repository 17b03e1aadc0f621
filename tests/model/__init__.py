"""Tests of the values that every stage speaks of."""
