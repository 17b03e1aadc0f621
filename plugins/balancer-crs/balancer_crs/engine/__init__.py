"""Rules at work: a rule set compiled once, and one transaction for each exchange. No I/O, no Twisted, no clock of its own."""
