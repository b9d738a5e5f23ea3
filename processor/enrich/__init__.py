"""The enrich step: asks a task's provider, within its quota, and retries what may pass."""
