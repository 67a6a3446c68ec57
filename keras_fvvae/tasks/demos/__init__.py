"""The demo and its three parts: textiles, digits, videos of moving digits."""

PARTS = ("textiles", "digits", "videos")
