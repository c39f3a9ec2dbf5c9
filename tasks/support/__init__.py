"""Code shared by the task modules: labelled tables, translation, running text, local files."""
