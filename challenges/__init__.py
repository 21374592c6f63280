"""What a caller can be asked, and how an answer is judged. Filled by the challenge release."""
