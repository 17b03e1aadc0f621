"""Tests of balancer.routing.matchers."""
