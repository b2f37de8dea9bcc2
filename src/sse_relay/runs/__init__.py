"""A run is one producer, detached from any request."""
