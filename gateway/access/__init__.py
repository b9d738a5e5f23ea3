"""Access to the gateway: bearer tokens, and a caller's requests per minute."""
