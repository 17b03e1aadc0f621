"""HTTP listeners: the channel that reads requests and hosts the resource tree."""
