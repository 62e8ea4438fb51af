"""A digest moves to another address: both have to say yes, and neither learns of others."""
