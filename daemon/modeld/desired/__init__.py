"""Hold what is wanted: the text of the desired state, its meaning, and where it is kept."""
