"""A layer-4 and layer-7 load balancer on Twisted, extended by plug-in packages.

The folders are the data flow: ``listeners`` accept, ``wire`` decodes, ``routing`` decides,
``filters`` change or refuse, ``pools`` choose a server, ``forwarding`` moves the bytes,
``observe`` writes down what happened. ``service`` builds all of it from one ``config``.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
