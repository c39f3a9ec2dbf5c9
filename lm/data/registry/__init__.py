"""Tasks by name, and their properties: labels, answers, sizes."""
