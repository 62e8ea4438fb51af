"""The verbs across models, called once, twice, in the wrong order, and by twenty at once."""
