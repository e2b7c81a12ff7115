"""Where data lies: sources (folders, archives, tables) and the work folder with its finished stages."""
