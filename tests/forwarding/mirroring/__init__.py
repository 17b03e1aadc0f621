"""Tests of copies of requests for other pools."""
