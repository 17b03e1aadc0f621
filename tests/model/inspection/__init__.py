"""Tests for :mod:`balancer.model.inspection`."""
