"""The WAF checks that come with the balancer, registered like a plug-in's; each a few lines on the same contract."""
