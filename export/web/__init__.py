"""Export of frozen models as static files that decode in a browser."""
