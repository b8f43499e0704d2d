"""The second region: what stands there in pilot light, and what is begun when the first one is given up."""
