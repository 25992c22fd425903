"""Pictures, charts and films of what `analysis` works out, as Matplotlib figures and mp4 files."""
