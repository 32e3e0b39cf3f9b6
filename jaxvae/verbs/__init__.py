"""What the command line does with a run directory, a file a kind of question."""
