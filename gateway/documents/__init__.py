"""The gateway's documentation: the OpenAPI and AsyncAPI documents, and the pages for people."""
