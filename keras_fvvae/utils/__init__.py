"""What every part uses: atomic files, progress, checkpoints of arrays, machine."""
