"""The HTTP edge, inbound."""
