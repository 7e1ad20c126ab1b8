"""What the workers and the control process both need to speak HTTP."""
