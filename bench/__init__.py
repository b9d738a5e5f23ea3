"""What a task costs beside its provider, measured side by side with what a user would pick instead."""
