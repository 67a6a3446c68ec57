"""Images, videos and optical flow from files."""
