"""Records of the sources become papers."""
