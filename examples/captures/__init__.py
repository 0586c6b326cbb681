"""Captures of real HTTP/1.1 traffic, and the programs that made them."""
