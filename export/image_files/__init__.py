"""Image files inside a graph: PNG and JPEG in, PNG out."""
