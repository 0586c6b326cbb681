"""Programs that show bytebufs at work."""
