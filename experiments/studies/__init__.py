"""The studies behind the claims of the documentation."""
