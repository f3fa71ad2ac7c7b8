"""Families of networks, one file each: the network, and the recognition of its weights."""
