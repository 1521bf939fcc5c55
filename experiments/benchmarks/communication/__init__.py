"""What a data-parallel step sends between devices."""
