"""Traffic routers: objects and intent in, patches out."""
