"""Open and run models, one module per format."""
