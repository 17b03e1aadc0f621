"""Tests of balancer.listeners."""
