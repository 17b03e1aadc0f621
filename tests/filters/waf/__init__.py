"""Tests for :mod:`balancer.filters.waf`."""
