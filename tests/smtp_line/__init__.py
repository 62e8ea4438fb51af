"""Letters on SMTP connections: what each fault at each stage leaves of letter and line."""
