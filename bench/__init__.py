"""The benchmark: what a task costs on top of its provider, compared with what a user would write instead."""
