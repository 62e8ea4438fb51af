"""Fields and forms that several pages share."""
