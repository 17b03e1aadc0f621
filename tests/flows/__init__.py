"""Tests of the whole service in memory, and of the files that show it."""
