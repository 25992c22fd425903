"""Networks in the form they are used in, not trained in: fused graphs."""
