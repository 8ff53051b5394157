"""What nodes of one installation ask of each other; nobody else is answered."""
