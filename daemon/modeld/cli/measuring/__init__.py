"""Measure two versions on the same rows. Imports numpy, which no other command needs."""
