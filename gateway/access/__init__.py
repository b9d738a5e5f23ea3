"""Who may use the gateway: bearer tokens, and a caller's requests a minute."""
