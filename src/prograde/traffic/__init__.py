"""Traffic routers: what a weight, a hash or a header route means in the objects of NGINX, Istio or the Gateway API."""
