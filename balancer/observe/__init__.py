"""What happened: the record of each exchange and session, and those who write it down."""
