"""Who trains: one process, or several devices and machines that share every step."""
