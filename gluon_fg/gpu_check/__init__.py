"""What `gluon-fg gpu-check` tries: whether this machine's GPU computes and trains as a CPU does."""
