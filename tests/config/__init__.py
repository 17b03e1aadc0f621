"""Tests of reading, checking and describing configurations."""
