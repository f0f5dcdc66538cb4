"""Two-dimensional maps of embeddings."""
