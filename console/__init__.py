"""Everything for people: the command line, project folders, local development."""
