"""The control process: watches, decides, starts and publishes. It never predicts."""
