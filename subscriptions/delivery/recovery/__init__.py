"""What became of letters whose delivery broke off."""
