"""Pages that begin and end a subscription, or change its address."""
