"""The ``balancer`` command: run, check, explain, test and look at a balancer."""
