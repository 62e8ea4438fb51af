"""Recovery of letters whose delivery was interrupted."""
