"""Measure the speed and memory of modeld beside the servers that it is compared with."""
