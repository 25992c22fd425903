"""Measuring and using a trained recognizer: view protocols, scores, metrics, comparison, prediction."""
