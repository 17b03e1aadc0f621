"""What gRPC adds to HTTP/2, as pure functions: deadlines, statuses, message framing, and gRPC-Web.

``timeout`` reads and writes ``grpc-timeout``, ``status`` has the codes and what HTTP and the balancer's own errors are in them,
``messages`` finds the messages of a stream, ``web`` turns gRPC into gRPC-Web and back.
"""
