"""What the gateway says about itself: the OpenAPI and AsyncAPI documents, and the pages for people."""
