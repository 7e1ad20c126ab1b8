"""Run native models in processes that can be killed."""
