"""What the balancer costs, beside its peers, on this machine; ``make bench``."""
