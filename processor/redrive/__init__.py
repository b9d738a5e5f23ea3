"""`python -m processor redrive`: puts dead letters back on the import topic."""
