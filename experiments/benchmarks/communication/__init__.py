"""The communication of data-parallel train steps."""
