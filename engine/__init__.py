"""What happens to a call: frames in, tags out. Pure files and the shells around them."""
