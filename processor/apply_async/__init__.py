"""An operator that Quix Streams lacks: `apply` with a coroutine, many records in flight."""
