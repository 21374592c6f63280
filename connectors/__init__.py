"""Where audio comes from, and where tags are shown."""
