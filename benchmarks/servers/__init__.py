"""The servers that modeld is compared with. Each is a script that takes its port last."""
