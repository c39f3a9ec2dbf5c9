"""How fast the machine, and a configured model on it, is."""
