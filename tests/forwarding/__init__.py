"""Tests of balancer.forwarding."""
