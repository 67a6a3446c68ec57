"""What a training leaves behind: its folder, its data, and starting from another run."""
