"""Damaged files of every format, read as the commands read them (``make fuzz``)."""
