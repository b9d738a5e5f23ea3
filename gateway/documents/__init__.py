"""The gateway's documents, OpenAPI and AsyncAPI, and its pages for people."""
