"""Tests of balancer.filters."""
