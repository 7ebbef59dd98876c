"""Files by which a decoder shows that it follows the format."""
