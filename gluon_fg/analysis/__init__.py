"""Looking into a trained network: where its filters fire, how they differ, which classes are confused."""
