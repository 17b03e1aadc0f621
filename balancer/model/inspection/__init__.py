"""What WAF checks declare and look at: values only, no I/O."""
