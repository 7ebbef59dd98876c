"""PNG and JPEG files inside a graph."""
