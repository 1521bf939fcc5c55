"""Generation of the tables and figures of the documentation: `make docs-data`."""
