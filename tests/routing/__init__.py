"""Tests of balancer.routing."""
