"""The enrich step: calls a task's provider within its quota, and retries failures that may pass."""
