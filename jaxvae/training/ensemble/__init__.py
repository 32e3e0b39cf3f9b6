"""Training several members in one program."""
