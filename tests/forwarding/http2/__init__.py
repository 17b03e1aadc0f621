"""Tests of HTTP/2 towards servers."""
