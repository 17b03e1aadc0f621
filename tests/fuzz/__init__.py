"""Tests that throw all sorts of things at the balancer."""
