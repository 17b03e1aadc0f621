"""Pools: named sets of servers, how one is chosen, and how their health is known."""
