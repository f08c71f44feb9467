"""What commands do where --momentum is given."""
