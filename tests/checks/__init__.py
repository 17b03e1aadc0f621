"""Tests of balancer.checks."""
