"""Tasks by name, and what they say of themselves: labels, answers, sizes."""
