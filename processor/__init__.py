"""The pipeline: import topic -> decode -> enrich -> PostgreSQL sink -> result topic | dead-letter topic."""
