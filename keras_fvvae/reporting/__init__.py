"""What people read: reports, figures, pages of results."""
