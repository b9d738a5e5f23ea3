"""The providers that answer tasks."""
