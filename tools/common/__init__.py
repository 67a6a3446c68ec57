"""What commands share: options and their types, checks, console output."""
