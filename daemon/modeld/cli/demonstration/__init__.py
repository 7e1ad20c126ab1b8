"""What `modeld demo` plays: the traffic, the acts, and where they take place."""
