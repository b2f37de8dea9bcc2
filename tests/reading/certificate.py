"""A certificate for 127.0.0.1, of an authority of its own."""

import ssl
from functools import cache

import trustme


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make what a server needs, and what a client that trusts it alone needs."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
